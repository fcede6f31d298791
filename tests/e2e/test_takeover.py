"""From kerf to NVIDIA's own device plugin and back, under pods that hold devices.

The plugin is what `make peers` builds of NVIDIA's source; without it the cases are skipped.
"""
import os
import pathlib
import signal
import subprocess

import pytest

from cluster import MIG_CONFIG, containers
from pods import given, pod

PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kerf"
# Both read the same file.
WHOLE = """
version: v1
flags: {migStrategy: none}
"""
SHARED = f"""{WHOLE}
sharing:
  timeSlicing:
    resources: [{{name: nvidia.com/gpu, replicas: 10}}]
"""
MIG = """
version: v1
flags: {migStrategy: mixed}
"""


class Plugin:
    """NVIDIA's, with the device nodes in its answers, as where no NVIDIA runtime adds them."""

    def __init__(self, agent, program):
        self.agent, self.program, self.process = agent, program, None
        self.log_path = agent.folder / "plugin.log"

    def start(self, file):
        root = self.agent.machine / "root"
        env = {**os.environ, "KERF": str(self.agent.kerf), "CDI_DIR": str(self.agent.cluster.cdi_dir),
               "KUBELET_DIR": str(self.agent.cluster.state / "kubelet/device-plugins")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [PEERS / "inside", self.agent.machine, self.program, "--config-file", file,
                 "--device-list-strategy", "envvar", "--pass-device-specs", "--nvidia-driver-root", root,
                 "--nvidia-dev-root", root, "--driver-root-ctr-path", root],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None


@pytest.fixture
def plugin(agent):
    programs = sorted((CACHE / "peers/bin").glob("nvidia-device-plugin-*[0-9]"))
    if not programs:
        pytest.skip("there is no NVIDIA plugin in the cache; `make peers` builds it")
    p = Plugin(agent, programs[-1])
    try:
        yield p
    finally:
        p.stop()
        if p.log_path.exists():
            print(f"\nthe plugin's log:\n{p.log_path.read_text(errors='replace')[-3000:]}")


def seen(cluster):
    """What each pod's container was given: its devices for the kubelet, and its device nodes."""
    found = {name: given(cluster, name) for name in cluster.pods()}
    return {name: (g.uuids, g.gpus, g.caps) for name, g in found.items()}


def phase(cluster, name, resource, offered):
    """Who serves now has registered: earlier pods run on, restarted ones keep what they had."""
    before, held = {n: containers(p) for n, p in cluster.pods().items()}, seen(cluster)
    cluster.wait_allocatable({f"nvidia.com/{resource}": offered})
    cluster.create(pod(name, resource))
    cluster.wait_phases({"Running": len(held) + 1})
    assert {n: containers(p) for n, p in cluster.pods().items() if n != name} == before
    for earlier in held:
        cluster.restart_container(earlier)
    now = seen(cluster)
    assert {n: now[n] for n in held} == held
    return now


@pytest.mark.parametrize("machine,text,resource,offered,nodes", [
    pytest.param("p4d.24xlarge", WHOLE, "gpu", 8, 4, id="whole"),
    pytest.param("g4dn.xlarge", SHARED, "gpu", 10, 1, id="shared"),
    pytest.param("p4d.24xlarge", MIG, "mig-1g.5gb", 56, 4, id="mig")], indirect=["machine"])
def test_pods_keep_their_devices_from_kerf_to_nvidias_plugin_and_back(
        cluster, agent, plugin, tmp_path, text, resource, offered, nodes):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    agent.start("--config-file", str(file))
    if text == MIG:
        cluster.label(MIG_CONFIG, "all-1g.5gb")
        cluster.wait_state("success")
    phase(cluster, "a", resource, offered)
    phase(cluster, "b", resource, offered)

    def hand_over(old, start):
        count = cluster.registrations(f"nvidia.com/{resource}")
        old.stop()
        start()
        cluster.wait_registered(f"nvidia.com/{resource}", more_than=count)

    hand_over(agent, lambda: plugin.start(file))
    phase(cluster, "c", resource, offered)
    hand_over(plugin, agent.start)
    found = phase(cluster, "d", resource, offered)

    assert all(len(gpus) == 1 for _, gpus, _ in found.values())
    assert len({tuple(ids) for ids, _, _ in found.values()}) == 4, "one device for each pod"
    assert len({(tuple(gpus), tuple(caps)) for _, gpus, caps in found.values()}) == nodes
