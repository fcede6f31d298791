"""Shares that MPS holds: `kerf mps` beside the agent, and what pods get of it."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from harness import KERF, TREE, wait_until

sys.path.append(str(TREE / "tests/sim"))
from cuda import Client  # noqa: E402

MEMORY, GPU, SHARED = "nvidia.com/gpu-memory", "nvidia.com/gpu", "nvidia.com/gpu.shared"
UNITS = "kerf: {gpuMemory: {devices: [0]}}\n"
REPLICAS = ("version: v1\nsharing: {mps: {renameByDefault: true, resources: [{name: nvidia.com/gpu, "
            "replicas: 4}]}}\n")


class Mps:
    """The keeper, and clients by what Allocate answered."""

    def __init__(self, node, text):
        self.node, self.dir, self.process, self.clients = node, node.folder / "r", None, []
        self.file = node.folder / "config.yaml"
        self.file.write_text(text)
        self.log = node.folder / "mps.log"

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [KERF, "mps", "--dir", self.dir, "--root", self.node.machine.root],
                env=dict(os.environ, KERF_SIM_DIR=str(self.node.folder / "m")),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start_agent(self, *flags):
        if not any("strategy" in f for f in flags):
            flags = ("--mig-strategy", "none", *flags)
        self.node.agent.start("--config-file", self.file, "--mps-dir", self.dir, *flags)

    def answer(self, pod):
        (answer,) = self.node.kubelet.pods()[pod]["answers"]
        return answer

    def folder(self, pod):
        """Where the folder that the container has as its pipe directory is on the host."""
        answer = self.answer(pod)
        inside = answer["envs"]["CUDA_MPS_PIPE_DIRECTORY"]
        host, read_only = next((h, ro) for h, there, ro in answer["mounts"] if there == inside)
        assert read_only and os.listdir(host) == ["control"]
        return host

    def client(self, pod):
        library = self.node.machine.root / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
        sim = type("Sim", (), {"library": library, "env": lambda _: dict(
            os.environ, KERF_SIM_DIR=str(self.node.folder / "m"))})()
        self.clients.append(Client(sim, {"CUDA_MPS_PIPE_DIRECTORY": self.folder(pod),
                                         "CUDA_VISIBLE_DEVICES": self.answer(pod)["envs"]["KERF_DEVICES"]}))
        return self.clients[-1]

    def end(self):
        for client in self.clients:
            client.end()
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log.read_text()
            self.process = None


@pytest.fixture
def mps(make_node):
    made = []

    def make(text, machine="p4d.24xlarge"):
        made.append(Mps(make_node(machine), text))
        return made[-1]

    yield make
    for one in made:
        one.end()


def run_pod(m, name, resource, n=1):
    m.node.kubelet.add(name, {resource: n})
    m.node.wait_phase("Running", name)


def test_pods_get_the_memory_that_they_ask_for_and_as_many_sms(mps):
    m = mps(UNITS)
    m.start()
    m.start_agent()
    m.node.wait_allocatable({MEMORY: 39, GPU: 7})
    for gib in (4, 10, 20):
        run_pod(m, f"p{gib}", MEMORY, gib)
        one = m.client(f"p{gib}")
        assert one.error == 0 and gib - 0.7 < one.until_full() < gib
        assert one.sm == 108 * (gib * 100 // 39) // 100 // 2 * 2
    assert len({m.folder(f"p{g}") for g in (4, 10, 20)}) == 3


def test_equal_shares_by_nvidias_configuration(mps):
    m = mps(REPLICAS, "g4dn.xlarge")
    m.start()
    m.start_agent()
    m.node.wait_allocatable({SHARED: 4})
    run_pod(m, "a", SHARED)
    one = m.client("a")
    assert m.answer("a")["envs"]["CUDA_MPS_PIPE_DIRECTORY"] == f"/mps/{SHARED}/pipe"
    assert one.error == 0 and one.sm == 10 and 3 < one.until_full() < 3.7
    wait_until(lambda: m.node.api.get_label("nvidia.com/gpu.sharing-strategy") == "mps",
               lambda: m.node.api.node()["metadata"]["labels"])


def test_nothing_is_on_sale_before_there_is_a_daemon(mps):
    m = mps(UNITS)
    m.start_agent()
    m.node.wait_allocatable({GPU: 7})
    wait_until(lambda: "is `kerf mps` running?" in m.node.agent.log(), m.node.agent.log)
    m.start()
    m.node.wait_allocatable({MEMORY: 39, GPU: 7})


def test_an_agent_that_is_killed_leaves_clients_and_gates_and_the_next_one_adopts(mps):
    m = mps(UNITS)
    m.start()
    m.start_agent()
    m.node.wait_allocatable({MEMORY: 39, GPU: 7})
    run_pod(m, "a", MEMORY, 4)
    running, folder = m.client("a"), m.folder("a")
    m.node.agent.kill()
    assert running("mem(256)") == 0
    again = m.client("a")  # a container that restarts while there is no agent
    assert again.error == 0
    again.end()
    m.start_agent()
    m.node.wait_allocatable({MEMORY: 39, GPU: 7})
    assert running("mem(256)") == 0 and m.folder("a") == folder
    run_pod(m, "b", MEMORY, 30)
    assert 29 < m.client("b").until_full() < 30


def test_a_slice_goes_when_its_pod_is_gone(mps):
    m = mps(UNITS)
    m.start()
    m.start_agent()
    m.node.wait_allocatable({MEMORY: 39, GPU: 7})
    run_pod(m, "a", MEMORY, 4)
    folder = m.folder("a")
    m.node.kubelet.delete("a")
    wait_until(lambda: not pathlib.Path(folder).exists(), m.node.agent.log)


def test_a_fault_is_told_with_the_names_of_the_pods_that_it_reached(mps):
    m = mps(UNITS)
    m.start()
    m.start_agent()
    m.node.wait_allocatable({MEMORY: 39, GPU: 7})
    for name in "ab":
        run_pod(m, name, MEMORY, 4)
        m.client(name)
    wait_until(lambda: len([h for h in str(m.node.agent.status()).split("'") if h in "ab"]) >= 2,
               m.node.agent.log)
    m.node.machine.sim("mps", "fault", 0)
    for name in "ab":
        wait_until(lambda n=name: any(r == "MPSTrouble" and f"default/{n}" in text
                                      for r, text in m.node.api.events()),
                   lambda: f"{m.node.api.events()} {m.node.agent.log()}")
    wait_until(lambda: any(r == "MPSRecovered" for r, _ in m.node.api.events()), m.node.agent.log)
    assert m.client("a").error == 0
