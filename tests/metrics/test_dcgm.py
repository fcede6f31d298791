"""DCGM's metrics: names, types, helps, labels and values as dcgm-exporter prints them."""
import re

import pytest

import support
from support import fresh, load, start

# default-counters.csv of dcgm-exporter (nvidia-stack.md 5.1): name, type, format of the value.
DEFAULT = """
DCGM_FI_DEV_SM_CLOCK gauge int
DCGM_FI_DEV_MEM_CLOCK gauge int
DCGM_FI_DEV_MEMORY_TEMP gauge int
DCGM_FI_DEV_GPU_TEMP gauge int
DCGM_FI_DEV_POWER_USAGE gauge real
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter int
DCGM_FI_DEV_PCIE_REPLAY_COUNTER counter int
DCGM_FI_DEV_GPU_UTIL gauge int
DCGM_FI_DEV_MEM_COPY_UTIL gauge int
DCGM_FI_DEV_ENC_UTIL gauge int
DCGM_FI_DEV_DEC_UTIL gauge int
DCGM_FI_DEV_XID_ERRORS gauge int
DCGM_FI_DEV_FB_FREE gauge int
DCGM_FI_DEV_FB_USED gauge int
DCGM_FI_DEV_FB_RESERVED gauge int
DCGM_FI_DEV_VGPU_LICENSE_STATUS gauge int
DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS counter int
DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS counter int
DCGM_FI_DEV_ROW_REMAP_FAILURE gauge int
DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge real
DCGM_FI_PROF_PIPE_TENSOR_ACTIVE gauge real
DCGM_FI_PROF_DRAM_ACTIVE gauge real
DCGM_FI_PROF_PCIE_TX_BYTES gauge int
DCGM_FI_PROF_PCIE_RX_BYTES gauge int
"""
PROFILING = ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
             "DCGM_FI_PROF_DRAM_ACTIVE")
GOLDEN = support.TREE / "tests" / "metrics" / "golden"

MACHINE = """
name: golden
vendor: kerf
driver: 580.159.04
gpus:
  - {product: h100-sxm5-80gb, bus: "0000:17:00.0", uuid: GPU-11111111-1111-4111-8111-111111111111}
  - {product: h100-sxm5-80gb, bus: "0000:3b:00.0", uuid: GPU-22222222-2222-4222-8222-222222222222}
  - {product: t4, bus: "0000:65:00.0", uuid: GPU-33333333-3333-4333-8333-333333333333}
"""
MIG = """
version: v1
mig-configs:
  golden:
    - {devices: [0], mig-enabled: true, mig-devices: {3g.40gb: 1, 1g.10gb: 1}}
    - {devices: [1, 2], mig-enabled: false}
"""


def dcgm(scrape):
    """The DCGM lines; what depends on the clock stands as *."""
    lines = [line for line in scrape.text.splitlines() if "DCGM_FI_" in line.split("{")[0]]
    return "\n".join(re.sub(r"^(DCGM_FI_DEV_TOTAL_ENERGY.*) \d+$", r"\1 *", line)
                     for line in lines) + "\n"


def compare(name, text):
    path = GOLDEN / name
    if not path.exists():
        path.write_text(text)
        pytest.fail(f"{path} was not there and is written now: look at it")
    assert text == path.read_text()


@pytest.fixture
def golden_node(make_node, tmp_path):
    """An H100 in two slices, one whole, and a T4; both kinds of H100 are at work."""
    (tmp_path / "machine.yaml").write_text(MACHINE)
    (tmp_path / "mig.yaml").write_text(MIG)
    node = make_node(tmp_path / "machine.yaml")

    def go(*flags):
        client = start(node, "--mig-config", tmp_path / "mig.yaml", *flags, label="golden")
        for pod, resource in (("slice", "nvidia.com/mig-3g.40gb"), ("whole-1", "nvidia.com/gpu"),
                              ("whole-2", "nvidia.com/gpu")):
            node.kubelet.add(pod, resource)
        node.wait_phase("Running", "slice", "whole-1", "whole-2")
        gi = {i["profile"]: i["id"] for i in node.machine.show()["gpus"][0]["instances"]}
        load(node, 3001, 0, sm=40, dram=20, memory=2048, gi=gi["3g.40gb"])
        load(node, 3002, 1, sm=75, dram=30, memory=4096)

        def settled(s):
            held = s.get("DCGM_FI_DEV_FB_USED", pod="slice", namespace="default")
            active = s.get("DCGM_FI_PROF_GR_ENGINE_ACTIVE")
            return (held and s.get("DCGM_FI_DEV_FB_USED", pod="whole-1") and
                    s.get("DCGM_FI_DEV_FB_USED", pod="whole-2") and
                    s.one("kerf_slices", profile="3g.40gb", state="used") == 1 and
                    sorted(round(v, 6) for _, v in active) == [0, .4, .75] and
                    s.one("DCGM_FI_DEV_GPU_UTIL", gpu=1) == 75)
        return client, fresh(client, settled)
    return node, go


def test_every_line_is_as_it_was(golden_node):
    _, go = golden_node
    _, scrape = go()
    # which of the two whole GPUs a pod has is nobody's business here
    compare("default.txt", re.sub(r'pod="whole-\d"', 'pod="whole"', dcgm(scrape)))


def test_with_each_slice_its_boards_values_as_dcgm_exporter_has_them(golden_node):
    _, go = golden_node
    _, scrape = go("--metrics-board-per-slice")
    rows = scrape.get("DCGM_FI_DEV_POWER_USAGE", gpu=0)
    assert [labels["GPU_I_ID"] for labels, _ in rows] == \
        [labels["GPU_I_ID"] for labels, _ in scrape.get("DCGM_FI_DEV_FB_USED", gpu=0)]
    assert len({value for _, value in rows}) == 1
    assert [labels["GPU_I_PROFILE"] for labels, _ in rows] == ["1g.10gb", "3g.40gb"]  # by place


def test_the_sum_of_power_is_the_nodes(golden_node):
    _, go = golden_node
    _, scrape = go()
    by_gpu = {labels["gpu"]: value for labels, value in scrape.get("DCGM_FI_DEV_POWER_USAGE")}
    assert len(scrape.get("DCGM_FI_DEV_POWER_USAGE")) == len(by_gpu) == 3
    assert "GPU_I_ID" not in scrape.get("DCGM_FI_DEV_POWER_USAGE", gpu=0)[0][0]


def test_names_types_and_formats_are_those_of_the_counters_file(make_node):
    node = make_node("p5.48xlarge")
    scrape = fresh(start(node), lambda s: s.get(PROFILING[0]))
    want = dict((line.split()[0], line.split()[1:]) for line in DEFAULT.split("\n") if line)
    assert {n for n in scrape.names() if n.startswith("DCGM_")} == set(want)
    for name, (kind, form) in want.items():
        assert scrape.type[name] == kind, name
        for line in scrape.text.splitlines():
            if line.startswith(name + "{"):
                assert re.search(r"\} -?\d+\.\d{6}$" if form == "real" else r"\} \d+$", line), line


def test_labels_are_in_dcgms_order(make_node):
    node = make_node("p5.48xlarge")
    scrape = fresh(start(node))
    labels, _ = scrape.get("DCGM_FI_DEV_GPU_TEMP")[3]
    assert list(labels) == ["gpu", "UUID", "pci_bus_id", "device", "modelName", "hostname",
                            "DCGM_FI_DRIVER_VERSION"]
    show = node.machine.show()["gpus"][3]
    assert labels == {"gpu": "3", "UUID": show["uuid"], "device": "nvidia3",
                      "pci_bus_id": labels["pci_bus_id"], "modelName": "NVIDIA H100 80GB HBM3",
                      "hostname": "node-1", "DCGM_FI_DRIVER_VERSION": "580.159.04"}
    assert re.fullmatch(r"[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\.0", labels["pci_bus_id"])


@pytest.mark.parametrize("flags, there, gone", [
    (["--metrics-hostname", "Hostname"], {"Hostname": "node-1"}, {"hostname"}),
    (["--metrics-no-hostname"], {}, {"hostname", "Hostname"}),
    (["--metrics-join-words"], {"modelName": "NVIDIA-H100-80GB-HBM3"}, set()),
    (["--metrics-old-namespace"], {"pod_name": "p", "pod_namespace": "default",
                                   "container_name": "main"},
     {"pod", "namespace", "container", "UUID"}),
    (["--metrics-pods=false"], {}, {"pod", "namespace", "container"}),
])
def test_labels_by_switch(make_node, flags, there, gone):
    node = make_node("p5.48xlarge")
    client = start(node, *flags)
    node.kubelet.add("p", "nvidia.com/gpu")
    node.wait_phase("Running", "p")
    uuid = node.device("p")
    name = "uuid" if "--metrics-old-namespace" in flags else "UUID"
    scrape = fresh(client, lambda s: any(
        there.items() <= labels.items() and s.one("kerf_gpus", state="used") == 1
        for labels, _ in s.get("DCGM_FI_DEV_GPU_TEMP", **{name: uuid})))
    labels, _ = scrape.get("DCGM_FI_DEV_GPU_TEMP", **{name: uuid})[0]
    assert not gone & set(labels)


def test_a_pods_uid_when_asked(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, "--metrics-pod-uid")
    node.kubelet.add("p", "nvidia.com/gpu")
    node.wait_phase("Running", "p")
    uid = node.kubelet.pods()["p"]["uid"]
    fresh(client, lambda s: s.get("DCGM_FI_DEV_GPU_TEMP", pod="p", pod_uid=uid))


def test_profiling_is_absent_where_there_is_none_and_not_zero(make_node):
    """A100: NVML has no GPM, and with MIG on no utilisation either."""
    node = make_node("p4d.24xlarge")
    client = start(node, label="all-balanced")
    scrape = fresh(client, lambda s: s.get("DCGM_FI_DEV_FB_USED", GPU_I_PROFILE="3g.20gb"))
    assert not [n for n in scrape.names() if "PROF" in n]
    assert not scrape.get("DCGM_FI_DEV_GPU_UTIL") and "DCGM_FI_DEV_GPU_UTIL" not in scrape.type
    assert len(scrape.get("DCGM_FI_DEV_GPU_TEMP")) == 8
    assert len(scrape.get("DCGM_FI_DEV_FB_USED")) == 8 * 4


def test_slices_have_utilisation_where_gpm_tells_it(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, label="all-1g.10gb")
    gi = node.machine.show()["gpus"][2]["instances"][4]["id"]
    load(node, 4001, 2, sm=33, dram=12, memory=100, gi=gi)
    scrape = fresh(client, lambda s: [round(v, 4) for _, v in s.get(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE", gpu=2, GPU_I_ID=gi)] == [.33])
    assert scrape.one("DCGM_FI_DEV_GPU_UTIL", gpu=2, GPU_I_ID=gi) == 33
    assert round(scrape.one("DCGM_FI_PROF_DRAM_ACTIVE", gpu=2, GPU_I_ID=gi), 4) == .12
    assert len(scrape.get("DCGM_FI_PROF_GR_ENGINE_ACTIVE")) == 56
    idle = [v for labels, v in scrape.get("DCGM_FI_PROF_GR_ENGINE_ACTIVE", gpu=2)
            if labels["GPU_I_ID"] != str(gi)]
    assert idle == [0] * 6


def test_the_last_xid_with_its_meaning(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client, lambda s: s.get("DCGM_FI_DEV_XID_ERRORS", gpu=1, err_code=0, err_msg="No Error"))
    node.machine.sim("xid", 1, 31)
    node.machine.sim("xid", 1, 48)
    scrape = fresh(client, lambda s: s.get("DCGM_FI_DEV_XID_ERRORS", gpu=1, err_code=48))
    labels, value = scrape.get("DCGM_FI_DEV_XID_ERRORS", gpu=1)[0]
    assert value == 48 and labels["err_msg"] == "double bit ECC error"
    assert scrape.one("kerf_gpu_xid_errors_total", gpu=1, xid=31) == 1
    assert scrape.one("kerf_gpu_healthy", gpu=1) == 0


def test_a_users_counters_file(make_node, tmp_path):
    file = tmp_path / "counters.csv"
    file.write_text("# ours\n"
                    "DCGM_FI_DEV_GPU_TEMP, gauge, How warm (in C).\n"
                    "DCGM_FI_DEV_DEC_UTIL ,     gauge, Decoder utilization (in %).\n"
                    "DCGM_FI_PROF_SM_ACTIVE, gauge, SMs.\n"
                    "DCGM_FI_DEV_CUDA_COMPUTE_CAPABILITY, gauge, not to be had.\n"
                    "DCGM_FI_DRIVER_VERSION, label, Driver Version\n"
                    "DCGM_FI_DEV_SERIAL, label, Serial\n")
    node = make_node("p5.48xlarge")
    client = start(node, "--metrics-collectors", file)
    scrape = fresh(client, lambda s: s.get("DCGM_FI_PROF_SM_ACTIVE"))
    assert {n for n in scrape.names() if n.startswith("DCGM_")} == {
        "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_DEC_UTIL", "DCGM_FI_PROF_SM_ACTIVE"}
    assert scrape.help["DCGM_FI_DEV_GPU_TEMP"] == "How warm (in C)."
    assert scrape.get("DCGM_FI_DEV_GPU_TEMP", gpu=0)[0][0]["DCGM_FI_DEV_SERIAL"]
    assert node.agent.logged(f"{file}:5: DCGM_FI_DEV_CUDA_COMPUTE_CAPABILITY: NVML does not tell")


def test_a_bad_counters_file_is_named_and_the_default_served(make_node, tmp_path):
    file = tmp_path / "counters.csv"
    file.write_text("DCGM_FI_DEV_GPU_TEMP, gauge, How warm.\nDCGM_FI_DEV_SM_CLOCK, dial, x\n")
    node = make_node("p5.48xlarge")
    client = start(node, "--metrics-collectors", file)
    fresh(client, lambda s: s.get("DCGM_FI_DEV_FB_USED"))
    assert node.agent.logged(f"{file}:2: 'dial' is none of gauge, counter")
