"""What each pod uses, told to the simulator and reported, for every way of sharing."""
import pytest

from support import cgroup, fresh, instance_of, load, start

MIB = 1 << 20
SHARING = """
version: v1
sharing:
  timeSlicing:
    resources:
      - {name: %s, replicas: 4}
"""


def shared(tmp_path, resource="nvidia.com/gpu"):
    file = tmp_path / "sharing.yaml"
    file.write_text(SHARING % resource)
    return "--config-file", file, "--shared-devices-allocation-policy", "packed"


def sharers(node, resource, *pods):
    """These pods, on one and the same device: (pods, its id)."""
    for pod in pods:
        node.kubelet.add(pod, resource)
        node.wait_phase("Running", pod)
    devices = {node.device(pod).split("::")[0] for pod in pods}
    assert len(devices) == 1, devices
    return pods, devices.pop()


def compare(told, scrape):
    """A table, told and reported; and every row of it right."""
    print(f"{'pod':>8} {'memory MiB':>21} {'SM':>15}")
    for pod, (memory, sm) in told.items():
        got_memory = scrape.one("kerf_pod_memory_used_bytes", pod=pod) / MIB
        got_sm = scrape.get("kerf_pod_sm_utilization_ratio", pod=pod)
        got_sm = got_sm[0][1] if got_sm else None
        print(f"{pod:>8} {memory:>10} {got_memory:>10.0f} {str(sm):>7} {str(got_sm):>7}")
        assert got_memory == memory
        assert got_sm == sm if sm is None else got_sm == pytest.approx(sm, abs=1e-4)


def test_slices(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, label="all-1g.10gb")
    told = {}
    for i in range(8):
        node.kubelet.add(f"p{i}", "nvidia.com/mig-1g.10gb")
    node.wait_phase("Running", *(f"p{i}" for i in range(8)))
    for i in range(8):
        gpu, gi = instance_of(node, node.device(f"p{i}"))
        told[f"p{i}"] = 100 + i, .05 * i
        load(node, 5000 + i, gpu, gi=gi, memory=100 + i, sm=5 * i)
    scrape = fresh(client, lambda s: all(
        [round(v, 4) for _, v in s.get("kerf_pod_sm_utilization_ratio", pod=pod)] == [round(sm, 4)]
        for pod, (_, sm) in told.items()))
    compare(told, scrape)
    labels, limit = scrape.get("kerf_pod_memory_device_bytes", pod="p3")[0]
    assert labels["sharing"] == "exclusive" and labels["GPU_I_PROFILE"] == "1g.10gb"
    assert limit == 9984 * MIB
    assert not scrape.get("kerf_pod_metric_absent")


def test_gpu_seconds_are_the_integral_by_the_part_of_the_gpu(make_node):
    """Seconds as the readings themselves count them: no clock of ours is compared with theirs."""
    node = make_node("p5.48xlarge")
    client = start(node, label="all-1g.10gb")
    node.kubelet.add("p", "nvidia.com/mig-1g.10gb")
    node.wait_phase("Running", "p")
    gpu, gi = instance_of(node, node.device("p"))
    load(node, 5100, gpu, gi=gi, sm=50)
    name = "kerf_pod_gpu_seconds_total"

    def busy(s):
        return [round(v, 4) for _, v in s.get("kerf_pod_sm_utilization_ratio", pod="p")] == [.5]
    first = fresh(client, busy)
    energy = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"  # grows with the time between readings, too
    later = fresh(client, lambda s: s.one(name, pod="p") > first.one(name, pod="p") + .2)
    seconds = later.one(name, pod="p") - first.one(name, pod="p")
    watts = later.one("DCGM_FI_DEV_POWER_USAGE", gpu=gpu)
    span = (later.one(energy, gpu=gpu) - first.one(energy, gpu=gpu)) / 1000 / watts
    # 1g.10gb has 16 of an H100's 132 SMs
    assert seconds == pytest.approx(span * .5 * 16 / 132, rel=.05)


def test_time_slicing(make_node, tmp_path):
    node = make_node("p5.48xlarge")
    client = start(node, *shared(tmp_path))
    pods, device = sharers(node, "nvidia.com/gpu", "a", "b", "c")
    gpu = next(g for g, have in enumerate(node.machine.show()["gpus"]) if have["uuid"] == device)
    told = {pods[0]: (1000, .6), pods[1]: (500, .25), pods[2]: (0, 0)}
    load(node, 5200, gpu, memory=600, sm=40, pod=pods[0])
    load(node, 5201, gpu, memory=400, sm=20, pod=pods[0])
    load(node, 5202, gpu, memory=500, sm=25, pod=pods[1])
    scrape = fresh(client, lambda s: all(
        [round(v, 4) for _, v in s.get("kerf_pod_sm_utilization_ratio", pod=pod)] == [sm]
        for pod, (_, sm) in told.items()))
    compare(told, scrape)
    labels, count = scrape.get("kerf_pod_processes", pod=pods[0])[0]
    assert labels["sharing"] == "time-slicing" and count == 2
    # nobody's pod stands at what several hold
    assert "pod" not in scrape.get("DCGM_FI_DEV_GPU_UTIL", gpu=gpu)[0][0]
    assert scrape.one("DCGM_FI_DEV_GPU_UTIL", gpu=gpu) == 85


def test_nvidias_copies_for_each_pod_are_a_switch(make_node, tmp_path):
    node = make_node("p5.48xlarge")
    client = start(node, *shared(tmp_path), "--metrics-virtual-gpus")
    pods, device = sharers(node, "nvidia.com/gpu", "a", "b")
    scrape = fresh(client, lambda s: len(s.get("DCGM_FI_DEV_GPU_TEMP", UUID=device)) == 2)
    rows = scrape.get("DCGM_FI_DEV_GPU_TEMP", UUID=device)
    assert sorted(labels["pod"] for labels, _ in rows) == sorted(pods)
    assert {labels["vgpu"] for labels, _ in rows} == {node.device(p).split("::")[1] for p in pods}
    assert len(scrape.get("DCGM_FI_DEV_GPU_TEMP")) == 9


def test_mps_memory_is_each_clients_and_work_is_not_invented(make_node, tmp_path):
    """NVML credits the server with all that its clients do (measured.md)."""
    node = make_node("p5.48xlarge")
    client = start(node, *shared(tmp_path))
    pods, device = sharers(node, "nvidia.com/gpu", "a", "b")
    gpu = next(g for g, have in enumerate(node.machine.show()["gpus"]) if have["uuid"] == device)
    load(node, 5300, gpu, memory=66, sm=80)  # the server
    load(node, 5301, gpu, memory=144, kind="mps", pod=pods[0])
    load(node, 5302, gpu, memory=274, kind="mps", pod=pods[1])
    scrape = fresh(client, lambda s: len(s.get("kerf_pod_metric_absent", reason="mps")) == 2)
    compare({pods[0]: (144, None), pods[1]: (274, None)}, scrape)
    for pod in pods:
        assert scrape.one("kerf_pod_metric_absent", pod=pod, metric="sm_utilization",
                          reason="mps") == 1
    # one client alone is all that the device does
    node.machine.sim("process", "remove", "--pid", 5302)
    scrape = fresh(client, lambda s: s.get("kerf_pod_sm_utilization_ratio", pod=pods[0]))
    compare({pods[0]: (144, .8), pods[1]: (0, 0)}, scrape)


def test_sharers_of_a_slice(make_node, tmp_path):
    """With MIG on the driver tells the memory of each process and the work of none."""
    node = make_node("p5.48xlarge")
    client = start(node, *shared(tmp_path, "nvidia.com/mig-1g.10gb"), label="all-1g.10gb")
    pods, device = sharers(node, "nvidia.com/mig-1g.10gb", "a", "b")
    gpu, gi = instance_of(node, device)
    load(node, 5400, gpu, gi=gi, memory=300, sm=30, pod=pods[0])
    load(node, 5401, gpu, gi=gi, memory=700, sm=20, pod=pods[1])
    scrape = fresh(client, lambda s: len(s.get("kerf_pod_metric_absent", reason="slice")) == 2)
    compare({pods[0]: (300, None), pods[1]: (700, None)}, scrape)
    assert round(scrape.one("DCGM_FI_PROF_GR_ENGINE_ACTIVE", gpu=gpu, GPU_I_ID=gi), 4) == .5


def test_whose_processes_they_are_must_be_known(make_node, tmp_path):
    node = make_node("p5.48xlarge")
    client = start(node, *shared(tmp_path))
    pods, device = sharers(node, "nvidia.com/gpu", "a", "b")
    gpu = next(g for g, have in enumerate(node.machine.show()["gpus"]) if have["uuid"] == device)
    load(node, 5500, gpu, memory=100, sm=10)  # of no pod that we know
    scrape = fresh(client, lambda s: len(s.get("kerf_pod_metric_absent", reason="processes")) == 4)
    assert not scrape.get("kerf_pod_memory_used_bytes", gpu=gpu)
    # of another pod than those that hold the device: still nobody's
    node.kubelet.add("elsewhere", "nvidia.com/gpu")
    node.wait_phase("Running", "elsewhere")
    cgroup(node, 5500, pods[0])
    scrape = fresh(client, lambda s: s.get("kerf_pod_memory_used_bytes", pod=pods[0]))
    assert scrape.one("kerf_pod_memory_used_bytes", pod=pods[0]) == 100 * MIB


def test_series_go_with_their_pod(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    node.kubelet.add("p", "nvidia.com/gpu")
    node.wait_phase("Running", "p")
    fresh(client, lambda s: s.get("kerf_pod_memory_used_bytes", pod="p") and
          s.get("DCGM_FI_DEV_GPU_TEMP", pod="p"))
    node.kubelet.delete("p")
    node.kubelet.add("q", "nvidia.com/gpu")  # has the kubelet write its checkpoint anew
    fresh(client, lambda s: 'pod="p"' not in s.text and s.get("DCGM_FI_DEV_GPU_TEMP", pod="q"),
          seconds=40)
