"""Trouble on one GPU: it pauses and is told of, the others go on."""
from harness import MIG_1G, wait_until
from test_slices import BALANCED, GPU


def test_a_gpu_that_pauses_does_not_hold_up_another(node):
    """A client holds up GPU 2's mode change, tried again after 1, 2, 4, 8 ... s."""
    node.machine.sim("process", "add", "--gpu", 2, "--pid", 77, "--kind", "holder")
    node.start()
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("whole", {GPU: 1})
    node.wait_phase("Running", "whole")
    node.api.label("all-1g.5gb")
    wait_until(lambda: len(node.machine.slices()) == 42, "six GPUs go on")
    wait_until(lambda: node.agent.log(10000).count("the other GPUs go on") >= 4, "four tries")
    node.kubelet.delete("whole")
    wait_until(lambda: len(node.machine.slices()) == 49, "the pod's GPU follows at once", 6)
    assert node.api.get_label() == "pending"
    node.machine.sim("process", "remove", "--pid", 77)
    node.wait_state("success")
    node.wait_allocatable({MIG_1G: 56})


def test_a_driver_that_finds_nothing_is_not_asked_without_end(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    before = node.agent.counts()["changes"]
    node.machine.fault("nvmlDeviceGetGpuInstanceById", "NOT_FOUND")
    node.relabel("all-balanced", "pending")
    wait_until(lambda: node.agent.counts()["changes"] >= before + 3, "it is tried again")
    assert node.agent.counts()["changes"] < before + 8
    node.machine.fault("nvmlDeviceGetGpuInstanceById", "--clear")
    node.wait_state("success")
    node.wait_allocatable(BALANCED)


def test_without_a_driver_the_node_is_told_what_is_waited_for(node):
    node.machine.sim("unload")
    node.api.label("all-1g.5gb")
    node.start("--fail-on-init-error=false")
    wait_until(lambda: node.api.get_label() == "pending", "the state is told")
    assert node.api.reason()
    node.machine.sim("load")
    node.wait_state("success", seconds=40)


def test_a_hiccup_of_the_driver_costs_no_more_than_itself(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.machine.fault("nvmlDeviceGetMemoryInfo", "UNKNOWN", "--times", 1)
    node.wait_allocatable({MIG_1G: 49})
    assert node.kubelet.capacity() == {MIG_1G: 56}
    node.wait_allocatable({MIG_1G: 56}, seconds=6)


def test_a_held_slice_stays_in_the_cdi_file_when_its_gpu_is_lost_at_the_start(node):
    node.start(label="all-1g.5gb")
    node.kubelet.add("p", MIG_1G)
    node.wait_phase("Running", "p")
    mine = node.device("p")
    gpu = node.machine.slices()[mine][0]
    node.agent.kill()
    node.machine.sim("lose", gpu)
    node.agent.start()
    wait_until(lambda: node.kubelet.allocatable() == {MIG_1G: 49}, "the other GPUs serve")
    assert mine in node.agent.cdi_names()
    # what else a silent GPU carries a new agent cannot know: those ids are not on its first list
    node.kubelet.wrongs.clear()
    node.machine.sim("lose", gpu, "--back")
    node.wait_allocatable({MIG_1G: 56})
