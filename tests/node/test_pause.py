"""--pause-operands: what NVIDIA's operator runs lets go around a change, and always comes back."""
import threading
import time

import pytest

from harness import MIG_1G, NODE, wait_until
from test_slices import GPU

DEPLOY = "nvidia.com/gpu.deploy."
NOTE = "kerf.dev/paused-operands"
PAUSED = "paused-for-mig-change"
PODS = "/api/v1/namespaces/gpu-operator/pods"


class Operator:
    """The DaemonSets of two operands: a pod each while its label is true, which holds a GPU."""

    def __init__(self, node, slow=0.0, stuck=()):
        self.node, self.slow, self.stuck = node, slow, stuck
        self.seen, self.ended = [], threading.Event()
        for operand in ("dcgm-exporter", "dcgm"):
            node.api.label("true", DEPLOY + operand)
        node.api.label("false", DEPLOY + "device-plugin")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.reconcile()
        self.thread.start()

    def wanted(self):
        labels = self.node.api.node()["metadata"]["labels"]
        return {o: labels.get(DEPLOY + o) for o in ("dcgm-exporter", "dcgm", "device-plugin")}

    def reconcile(self):
        values = self.wanted()
        if not self.seen or self.seen[-1] != values:
            self.seen.append(values)
        for number, operand in enumerate(("dcgm-exporter", "dcgm")):
            there = self.node.api.get(f"{PODS}/{operand}", check=False) is not None
            if values[operand] == "true" and not there:
                self.node.api.call("POST", PODS, {
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": operand, "namespace": "gpu-operator"},
                    "spec": {"nodeName": NODE, "nodeSelector": {DEPLOY + operand: "true"}}})
                self.node.machine.sim("process", "add", "--gpu", 0, "--pid", 900 + number, "--kind",
                                      "holder")
            elif values[operand] != "true" and there and operand not in self.stuck:
                time.sleep(self.slow)
                self.node.machine.sim("process", "remove", "--pid", 900 + number)
                self.node.api.call("DELETE", f"{PODS}/{operand}?gracePeriodSeconds=0")

    def run(self):
        while not self.ended.wait(0.02):
            self.reconcile()

    def stop(self):
        self.ended.set()
        self.thread.join()

    def values(self):
        """What the labels were, one after the other."""
        return [(v["dcgm-exporter"], v["dcgm"], v["device-plugin"]) for v in self.seen]

    def back(self):
        return self.wanted() == {"dcgm-exporter": "true", "dcgm": "true", "device-plugin": "false"}


@pytest.fixture
def operator(node):
    made = []

    def make(**how):
        made.append(Operator(node, **how))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def noted(node):
    return node.api.node()["metadata"].get("annotations", {}).get(NOTE)


FLAGS = ["--pause-operands"]


def test_operands_let_go_for_a_change_and_come_back_after_it(node, operator):
    there = operator(slow=0.5)
    node.start(*FLAGS, label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    wait_until(there.back, lambda: f"both are back: {there.seen}")
    wait_until(lambda: noted(node) is None, "the annotation is gone")
    want = [("true", "true", "false"), (PAUSED, PAUSED, "false"), ("true", "true", "false")]
    wait_until(lambda: there.values() == want, lambda: f"paused, and back: {there.seen}")


def test_the_node_says_who_is_waited_for(node, operator):
    there = operator(stuck=("dcgm",))
    node.start(*FLAGS)
    node.api.label("all-1g.5gb")
    wait_until(lambda: "waiting until dcgm of NVIDIA's operator" in node.api.reason(),
               lambda: node.api.reason())
    assert node.machine.profiles() == {}
    there.stuck = ()
    node.wait_state("success", "all-1g.5gb")
    wait_until(there.back, lambda: f"both are back: {there.seen}")


def test_a_create_beside_what_is_there_pauses_nobody(node, operator):
    node.start(label="all-enabled")
    there = operator()
    node.agent.end()
    node.start(*FLAGS, label="all-1g.5gb")
    assert [v["dcgm"] for v in there.seen] == ["true"]


def test_without_the_switch_nobody_is_paused(node, operator):
    node.start(label="all-1g.5gb")
    there = operator()
    node.api.label("all-balanced")
    wait_until(lambda: node.api.get_label() in ("pending", "failed"), "the driver refuses")
    assert [v["dcgm"] for v in there.seen] == ["true"]


@pytest.mark.parametrize("flags", [FLAGS, []], ids=["and the switch", "and without the switch"])
def test_an_agent_that_was_killed_sets_them_back_at_its_next_start(node, operator, flags):
    """gpu-operator#2833: labels that stayed paused, and nobody who set them back."""
    there = operator(stuck=("dcgm",))
    node.start(*FLAGS)
    node.api.label("all-1g.5gb")
    wait_until(lambda: there.wanted()["dcgm"] == PAUSED, "they are paused")
    assert noted(node) == "dcgm-exporter,dcgm"
    node.agent.kill()
    there.stuck = ()
    node.agent.start("--mig-strategy", "mixed", *flags)
    wait_until(there.back, lambda: f"both are back: {there.wanted()}")
    wait_until(lambda: noted(node) is None, "the annotation is gone")
    node.wait_state("success", "all-1g.5gb")


def test_a_label_that_is_taken_back_sets_them_back(node, operator):
    there = operator(stuck=("dcgm",))
    node.start(*FLAGS)
    node.wait_allocatable({GPU: 8})
    node.api.label("all-1g.5gb")
    wait_until(lambda: "waiting until dcgm" in node.api.reason(), lambda: node.api.reason())
    node.api.label("all-disabled")
    there.stuck = ()
    wait_until(there.back, lambda: f"both are back: {there.wanted()}")
    assert node.machine.profiles() == {}


def test_who_switched_an_operand_off_meanwhile_is_obeyed(node, operator):
    there = operator(stuck=("dcgm",))
    node.start(*FLAGS)
    node.api.label("all-1g.5gb")
    wait_until(lambda: there.wanted()["dcgm"] == PAUSED, "they are paused")
    node.api.label("false", DEPLOY + "dcgm-exporter")
    there.stuck = ()
    node.wait_state("success", "all-1g.5gb")
    wait_until(lambda: noted(node) is None, "set back")
    assert there.wanted() == {"dcgm-exporter": "false", "dcgm": "true", "device-plugin": "false"}
