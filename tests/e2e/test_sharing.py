"""One GPU or slice for several pods: NVIDIA's configurations, written anew from its schema."""
from cluster import MIG_CONFIG, containers, wait_for
from pods import device_ids, given, pod

import pytest

# The example of NVIDIA's documentation for time-slicing: ten of each GPU, requests for one only.
TIME_SLICING = """
version: v1
flags:
  migStrategy: "none"
  failOnInitError: true
  plugin: {passDeviceSpecs: false, deviceListStrategy: cdi-cri, deviceIDStrategy: uuid}
sharing:
  timeSlicing:
    renameByDefault: false
    failRequestsGreaterThanOne: true
    resources:
    - name: nvidia.com/gpu
      replicas: 10
"""
RENAMED = TIME_SLICING.replace("renameByDefault: false", "renameByDefault: true")
FOUR = TIME_SLICING.replace("replicas: 10", "replicas: 4")
SLICES = """
version: v1
flags: {migStrategy: mixed}
sharing:
  timeSlicing:
    resources:
    - {name: nvidia.com/mig-1g.5gb, replicas: 2}
"""
T4 = pytest.mark.parametrize("machine", ["g4dn.xlarge"], indirect=True)


def configured(agent, folder, text, *flags):
    file = folder / "config.yaml"
    file.write_text(text)
    agent.start("--config-file", str(file), *flags)


@T4
def test_ten_pods_share_one_gpu_and_the_eleventh_waits_until_one_ends(cluster, agent, tmp_path):
    configured(agent, tmp_path, TIME_SLICING)
    cluster.wait_allocatable({"nvidia.com/gpu": 10})
    cluster.create(*[pod(f"p{i}", "gpu") for i in range(10)])
    cluster.wait_phases({"Running": 10}, seconds=120)
    cluster.create(pod("eleventh", "gpu"))
    wait_for(lambda: f"Insufficient nvidia.com/gpu: {cluster.troubles('eleventh')}",
             lambda: "Insufficient nvidia.com/gpu" in cluster.troubles("eleventh"))
    found = [given(cluster, f"p{i}") for i in range(10)]
    assert {tuple(one.gpus) for one in found} == {("/dev/nvidia0",)}
    assert len({one.uuids[0] for one in found}) == 10, "ten replicas"
    cluster.delete_pods("p4")
    cluster.wait_phases({"Running": 10}, seconds=60)
    assert given(cluster, "eleventh").gpus == ["/dev/nvidia0"]


@T4
def test_two_replicas_in_one_container_are_refused_when_the_file_says_so(cluster, agent, tmp_path):
    configured(agent, tmp_path, TIME_SLICING)
    cluster.wait_allocatable({"nvidia.com/gpu": 10})
    cluster.create(pod("greedy", "gpu", 2))
    cluster.wait_phases({"Failed": 1})
    assert "failRequestsGreaterThanOne refuses such requests; ask for 1" in cluster.troubles()


@T4
def test_replicas_are_called_shared_when_the_file_renames_them(cluster, agent, tmp_path):
    configured(agent, tmp_path, RENAMED)
    cluster.wait_allocatable({"nvidia.com/gpu.shared": 10})
    cluster.create(pod("p", "gpu.shared"))
    cluster.wait_phases({"Running": 1})
    labels = cluster.labels()
    assert (labels["nvidia.com/gpu.replicas"], labels["nvidia.com/gpu.sharing-strategy"]) == \
        ("10", "time-slicing")


def test_each_slice_is_for_two_pods(cluster, agent, tmp_path):
    configured(agent, tmp_path, SLICES)
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 112})
    cluster.create(*[pod(f"p{i}", "mig-1g.5gb") for i in range(60)])
    cluster.wait_phases({"Running": 60}, seconds=180)
    found = [given(cluster, f"p{i}") for i in range(60)]
    assert all(len(one.named) == 1 and one.uuids[0].split("::")[0] == one.named[0] for one in found)
    assert len({one.named[0] for one in found}) == 56, "all slices before any is shared"


@T4
def test_two_named_configurations_are_switched_under_running_pods(cluster, agent, tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "ten").write_text(TIME_SLICING)
    (folder / "four").write_text(FOUR)
    agent.start("--config-dir", str(folder), "--default-config", "ten")
    try:
        cluster.wait_allocatable({"nvidia.com/gpu": 10})
        cluster.create(*[pod(f"p{i}", "gpu") for i in range(6)])
        cluster.wait_phases({"Running": 6}, seconds=60)
        before = {name: containers(p) for name, p in cluster.pods().items()}
        high = [n for n in before if int(device_ids(cluster, n)[0].rpartition("::")[2]) >= 4]
        assert len(high) == 2, "the lowest free replica goes first"
        cluster.label("nvidia.com/device-plugin.config", "four")
        # Six hold what is for four now: nothing is sold until those beyond the fourth have ended.
        cluster.wait_allocatable({})
        assert {n: containers(p) for n, p in cluster.pods().items()} == before
        cluster.label("nvidia.com/device-plugin.config", "no-such-one")
        wait_for(lambda: f"an Event names what there is not: {cluster.events()}",
                 lambda: any("no-such-one" in text for _, text in cluster.events()))
        cluster.delete_pods(*high)
        cluster.wait_allocatable({"nvidia.com/gpu": 4})
        before = {n: c for n, c in before.items() if n not in high}
        cluster.label("nvidia.com/device-plugin.config", "ten")
        cluster.wait_allocatable({"nvidia.com/gpu": 10})
        assert {n: containers(p) for n, p in cluster.pods().items()} == before
    finally:
        cluster.label("nvidia.com/device-plugin.config", None)
