"""A real Prometheus on a real node: what each pod uses, as told to the simulator and as reported.

The simulated driver is told of processes with the numbers of those that the pods' containers are,
so that whose they are is found as on hardware: by the control groups that the kubelet made.
"""
import json
import socket
import subprocess

import pytest

from cluster import MIG_CONFIG, wait_for
from pods import device_ids, pod
from prometheus import Prometheus, needed

pytestmark = needed
MIB = 1 << 20
H100 = pytest.mark.parametrize("machine", ["p5.48xlarge"], indirect=True)
# GPU 0 is cut, GPUs 1 to 7 are whole, each for three pods.
CUT = """
version: v1
mig-configs:
  one-cut:
  - {devices: [0], mig-enabled: true, mig-devices: {"1g.10gb": 3, "3g.40gb": 1}}
  - {devices: [1, 2, 3, 4, 5, 6, 7], mig-enabled: false, mig-devices: {}}
"""
SHARED = """
version: v1
flags: {migStrategy: mixed}
sharing:
  timeSlicing:
    resources:
    - {name: nvidia.com/gpu, replicas: 3}
"""
# Pod: resource, memory in MiB and load in percent of what it is on.
LOADS = {
    "idle-slice": ("mig-1g.10gb", 0, 0),
    "small-slice": ("mig-1g.10gb", 1100, 35),
    "full-slice": ("mig-1g.10gb", 9000, 95),
    "large-slice": ("mig-3g.40gb", 30000, 70),
    "sharer-0": ("gpu", 2000, 50),
    "sharer-1": ("gpu", 700, 20),
    "sharer-2": ("gpu", 0, 0),
}


class Driver:
    """The simulated driver, told of load."""

    def __init__(self, kerf, machine):
        self.kerf, self.machine = kerf, machine

    def sim(self, *words):
        return subprocess.run([self.kerf, "sim", words[0], self.machine, *map(str, words[1:])],
                              check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True).stdout

    def place(self, uuid):
        """Where a GPU or MIG device is, as words for `kerf sim process`."""
        for g, gpu in enumerate(json.loads(self.sim("show", "-o", "json"))["gpus"]):
            if gpu["uuid"] == uuid:
                return ["--gpu", g]
            for gi in gpu.get("instances", []):
                if any(ci["uuid"] == uuid for ci in gi["compute"]):
                    return ["--gpu", g, "--gi", gi["id"]]
        raise AssertionError(f"no device {uuid}")

    def load(self, uuid, pid, memory, sm):
        self.sim("process", "add", *self.place(uuid), "--pid", pid, "--memory", memory, "--sm", sm)


def pids(cluster):
    """The main process of each pod's container, by the pod's name."""
    rows = [row.split() for row in cluster.sh("ctr", "tasks", "ls").splitlines()[1:]]
    tasks = {row[0]: int(row[1]) for row in rows}
    return {name: tasks[p["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]]
            for name, p in cluster.pods().items()}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def reported(prometheus, name):
    """A pod's series of this name: (labels, value) by the pod's name."""
    return {labels["pod"]: (labels, value) for labels, value in prometheus.query(name)}


def rows(prometheus):
    """(memory in MiB, load in percent) of each pod."""
    memory = reported(prometheus, "kerf_pod_memory_used_bytes")
    sm = reported(prometheus, "kerf_pod_sm_utilization_ratio")
    return {name: (round(memory[name][1] / MIB), round(sm[name][1] * 100))
            for name in memory if name in sm}


def table(told, got):
    print(f"\n{'pod':>12} {'memory told':>12} {'reported':>9} {'load told':>10} {'reported':>9}")
    for name, (memory, sm) in told.items():
        print(f"{name:>12} {memory:>8} MiB {got[name][0]:>9} {sm:>9}% {got[name][1]:>8}%")


@pytest.fixture
def scraped(kerf, machine, cluster, agent, tmp_path):
    """The node with a pod for each of LOADS, each with its load, under Prometheus."""
    (tmp_path / "mig.yaml").write_text(CUT)
    (tmp_path / "sharing.yaml").write_text(SHARED)
    address = f"127.0.0.1:{free_port()}"
    agent.start("--mig-config", tmp_path / "mig.yaml", "--config-file", tmp_path / "sharing.yaml",
                "--shared-devices-allocation-policy", "packed",
                "--metrics-listen", address, "--metrics-interval", "200")
    cluster.label(MIG_CONFIG, "one-cut")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/mig-1g.10gb": 3, "nvidia.com/mig-3g.40gb": 1,
                              "nvidia.com/gpu": 21})
    cluster.create(*[pod(name, resource) for name, (resource, _, _) in LOADS.items()])
    cluster.wait_phases({"Running": len(LOADS)})
    driver, processes = Driver(kerf, machine), pids(cluster)
    devices = {name: wait_for(f"the device of {name}", lambda: device_ids(cluster, name))[0]
               .split("::")[0] for name in LOADS}
    for name, (_, memory, sm) in LOADS.items():
        if memory:
            driver.load(devices[name], processes[name], memory, sm)
    prometheus = Prometheus(tmp_path, address, "  honor_labels: true\n")
    yield prometheus, devices
    prometheus.end()


@H100
def test_each_pods_series_are_as_the_load_that_was_told(scraped):
    prometheus, devices = scraped
    told = {name: (memory, sm) for name, (_, memory, sm) in LOADS.items()}
    wait_for(lambda: f"reported is {rows(prometheus)}, told was {told}",
             lambda: rows(prometheus) == told)
    table(told, rows(prometheus))
    assert len({devices[f"sharer-{i}"] for i in range(3)}) == 1, "one GPU for three pods"

    ways = {name: labels["sharing"] for name, (labels, _) in
            reported(prometheus, "kerf_pod_memory_used_bytes").items()}
    assert ways == {name: "time-slicing" if name.startswith("sharer") else "exclusive"
                    for name in LOADS}
    assert not prometheus.query("kerf_pod_metric_absent")

    # DCGM's names: a pod stands at what it alone holds, nobody's at what is shared.
    used = {labels["pod"]: value for labels, value in
            prometheus.query('DCGM_FI_DEV_FB_USED{pod!=""}')}
    assert sorted(used) == sorted(name for name in told if not name.startswith("sharer"))
    # of a slice the driver has some for itself, more on a larger one
    assert all(0 < used[name] - told[name][0] < 64 for name in used), used
    util = reported(prometheus, 'DCGM_FI_DEV_GPU_UTIL{pod!=""}')
    assert {name: value for name, (_, value) in util.items()} == \
        {name: told[name][1] for name in util} and len(util) == 4
    shared = prometheus.query(f'DCGM_FI_DEV_GPU_UTIL{{UUID="{devices["sharer-0"]}"}}')
    assert [("pod" in labels, value) for labels, value in shared] == [(False, 70)]
