"""Beside others: another device plugin for the same GPUs, a node of EKS Auto Mode, a generous toolkit."""
import socket

import pytest

from harness import MIG_1G, wait_until
from test_slices import GPU

OTHER = "nvidia-gpu.sock"
COMPUTE = "eks.amazonaws.com/compute-type"
SPEC = "k8s.device-plugin.nvidia.com-gpu.json"


class Other:
    """Another plugin's socket, somebody listening; what it says does not matter."""

    def __init__(self, node, name=OTHER):
        self.path = node.kubelet.dir / name
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen()

    def end(self, leave=False):
        self.socket.close()
        if not leave:
            self.path.unlink()


def told(node, reason):
    return [note for why, note in node.api.events() if why == reason]


def is_passive(node):
    return node.agent.status().get("passive", "")


@pytest.mark.parametrize("leave", [False, True], ids=["and takes its socket along", "by kill -9"])
def test_kerf_waits_for_another_plugin_and_begins_by_itself_when_it_ends(node, leave):
    other = Other(node)
    spec = node.folder / "cdi" / SPEC
    spec.parent.mkdir()
    spec.write_text("{}\n")
    node.start()
    wait_until(lambda: OTHER in is_passive(node), "the agent is passive")
    wait_until(lambda: told(node, "OtherDevicePlugin"), "an Event says so")
    assert node.kubelet.state()["resources"] == {}
    assert spec.read_text() == "{}\n", "the CDI file is the other's"
    other.end(leave)
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: told(node, "OtherDevicePluginGone"), "another Event")
    assert not is_passive(node)
    assert len(told(node, "OtherDevicePlugin")) == 1


def test_kerf_gives_way_to_a_plugin_that_comes_later_and_pods_keep_their_devices(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("p", GPU)
    node.wait_phase("Running", "p")
    mine = node.device("p")
    other = Other(node)
    wait_until(lambda: node.kubelet.allocatable() == {}, "kerf gives way", 20)
    assert mine in node.agent.cdi_names()
    other.end()
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("q", GPU)
    node.wait_phase("Running", "q")
    assert node.device("q") != mine


def test_slices_are_not_changed_below_another_plugin(node):
    other = Other(node)
    node.start()
    wait_until(lambda: is_passive(node), "the agent is passive")
    node.api.label("all-1g.5gb")
    wait_until(lambda: node.api.get_label() == "pending" and OTHER in node.api.reason(),
               lambda: f"the reason: {node.api.reason()}")
    assert node.machine.slices() == {}
    other.end()
    node.wait_state("success", "all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})


def looks(node):
    """How often the agent has read the GPUs, more or less."""
    return node.machine.show()["calls"]["by_name"]["nvmlDeviceGetFieldValues"]


def test_a_change_of_slices_is_broken_off_for_another_plugin_and_ends_later(node):
    node.start(label="all-1g.5gb")
    node.add_pods("p")
    node.wait_phase("Running", "p")
    node.api.label("all-3g.20gb")
    wait_until(lambda: "waiting for" in node.api.reason(), "the change waits for the pod")
    other = Other(node)
    wait_until(lambda: OTHER in node.api.reason(), lambda: node.api.reason(), 20)
    before = node.machine.slices()
    node.kubelet.delete("p")
    seen = looks(node)
    wait_until(lambda: looks(node) > seen + 8, "the agent has looked since")
    assert node.machine.slices() == before
    other.end()
    node.wait_state("success", "all-3g.20gb")


def test_take_does_not_wait(node):
    other = Other(node)
    node.start("--beside=take")
    node.wait_allocatable({GPU: 8})
    assert not is_passive(node)
    other.end()


def test_a_socket_that_nobody_serves_keeps_nobody_waiting(node):
    Other(node).end(leave=True)
    node.start()
    node.wait_allocatable({GPU: 8})
    assert told(node, "OtherDevicePlugin") == []


def test_plugins_for_other_devices_are_no_rivals(node):
    others = [Other(node, name) for name in ("aws-efa-k8s-device-plugin.sock", "kubevirt-kvm.sock")]
    node.start()
    node.wait_allocatable({GPU: 8})
    for other in others:
        other.end()


def test_a_node_of_eks_auto_mode_has_a_plugin_of_its_own(node):
    node.api.label("auto", COMPUTE)
    node.start()
    wait_until(lambda: "Auto Mode" in is_passive(node), "the agent is passive")
    wait_until(lambda: told(node, "OtherDevicePlugin"), "an Event says so")
    wait_until(lambda: node.kubelet.allocatable() == {}, "nothing is offered")
    node.api.label(None, COMPUTE)
    node.wait_allocatable({GPU: 8})


def test_passive_is_told_again_after_a_restart_and_outlives_it(node):
    other = Other(node)
    node.start(label=None)
    wait_until(lambda: is_passive(node), "the agent is passive")
    node.agent.restart()
    wait_until(lambda: is_passive(node), "and again")
    assert node.kubelet.allocatable() == {}
    other.end()
    node.wait_allocatable({GPU: 8})


# --- the toolkit --------------------------------------------------------------------------------

KEY = "accept-nvidia-visible-devices-envvar-when-unprivileged"


def toolkit(node, text):
    file = node.machine.root / "etc/nvidia-container-runtime/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_toolkit_that_gives_gpus_to_whoever_names_them_is_told_with_the_cure(node):
    toolkit(node, "[nvidia-container-cli]\nno-cgroups = false\n")
    node.start()
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: told(node, "ToolkitGivesAllGPUs"), "an Event says so")
    assert f"{KEY} = false" in told(node, "ToolkitGivesAllGPUs")[0]
    assert KEY in node.agent.status()["toolkitTrouble"]
    node.agent.reload()
    toolkit(node, f"{KEY} = false\n")
    node.agent.reload()
    wait_until(lambda: "toolkitTrouble" not in node.agent.status(), "it is closed")
    assert len(told(node, "ToolkitGivesAllGPUs")) == 1


def test_a_closed_toolkit_and_a_node_without_one_are_no_news(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    toolkit(node, f"{KEY} = false\n")
    node.agent.reload()
    wait_until(lambda: node.agent.logged("SIGHUP"), "it is read")
    assert "toolkitTrouble" not in node.agent.status()
    assert told(node, "ToolkitGivesAllGPUs") == []
