"""`nvidia-ctk cdi generate` on a simulated root, and the device nodes that kerf gives."""
import json

import pytest

from harness import Agent, Kubelet, wait_until
from states import config_of

PROGRAM = "bin/nvidia-ctk-1.20.1"
CASES = [("p4d.24xlarge", "off"), ("p4d.24xlarge", "equal"), ("p4d.24xlarge", "half"),
         ("p5.48xlarge", "balanced"), ("a30x4", "balanced"), ("g7e.12xlarge", "balanced"),
         ("mixed", "balanced"), ("g5.48xlarge", "off")]


def nodes(edits):
    """Path in the container to that of the host."""
    return {n["path"]: n.get("hostPath", n["path"]) for n in edits.get("deviceNodes", [])}


def files(edits):
    return {m["hostPath"] for m in edits.get("mounts", [])}


def of_kerf(machine):
    """The file that the agent writes at its start."""
    kubelet, agent = Kubelet(machine.folder), None
    kubelet.start()
    try:
        agent = Agent(machine.folder, machine, kubelet, None)
        agent.start("--mig-strategy", "mixed")
        wait_until(lambda: kubelet.lists, agent.log)
        return json.loads((machine.cdi / "k8s.device-plugin.nvidia.com-gpu.json").read_text())
    finally:
        if agent:
            agent.stop()
        kubelet.stop()


@pytest.mark.parametrize("name,state", CASES, ids=["-".join(c) for c in CASES])
def test_the_same_nodes(here, peer, as_root, name, state):
    machine = here(name, config_of(name, state))
    out = machine.folder / "nvidia.json"
    machine.run_inside(peer(PROGRAM), "cdi", "generate", "--mode", "nvml", "--format", "json",
                       "--device-name-strategy", "uuid", "--driver-root", machine.root,
                       "--dev-root", machine.root, "--output", out)
    theirs, ours = json.loads(out.read_text()), of_kerf(machine)
    assert nodes(ours["containerEdits"]) == nodes(theirs["containerEdits"])
    our_devices = {d["name"]: nodes(d["containerEdits"]) for d in ours["devices"]}
    found = [d for d in theirs["devices"] if d["name"] != "all"]
    assert found
    for device in found:
        assert our_devices[device["name"]] == nodes(device["containerEdits"]), device["name"]
    assert files(theirs["containerEdits"]) <= files(ours["containerEdits"])
