"""Other machines, MIG mode, and a driver that goes and comes back."""
import pytest

from harness import MIG_1G, wait_until
from test_slices import BALANCED, GPU, names

# What three labels make of a machine: profile names as its driver spells them, and how many.
MACHINES = {
    "p4de.24xlarge": [("all-1g.10gb", {"1g.10gb": 56}), ("all-balanced",
                      {"1g.10gb": 16, "2g.20gb": 8, "3g.40gb": 8})],
    "p5.48xlarge": [("all-1g.10gb", {"1g.10gb": 56}), ("all-1g.20gb", {"1g.20gb": 32}),
                    ("all-balanced", {"1g.10gb": 16, "2g.20gb": 8, "3g.40gb": 8})],
    "p5en.48xlarge": [("all-1g.18gb", {"1g.18gb": 56}), ("all-balanced",
                      {"1g.18gb": 16, "2g.35gb": 8, "3g.71gb": 8})],
    "p6-b200.48xlarge": [("all-1g.23gb", {"1g.23gb": 56}), ("all-7g.180gb", {"7g.180gb": 8})],
    "a30x4": [("all-1g.6gb", {"1g.6gb": 16}), ("all-balanced", {"1g.6gb": 8, "2g.12gb": 4})],
    "g7e.12xlarge": [("all-1g.24gb", {"1g.24gb": 8}), ("all-2g.48gb", {"2g.48gb": 4})],
}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_follows_its_labels(make_node, machine):
    node = make_node(machine)
    node.start()
    for label, profiles in MACHINES[machine]:
        node.relabel(label)
        assert node.machine.profiles() == profiles
        node.wait_allocatable({f"nvidia.com/mig-{p}": n for p, n in profiles.items()})
    node.relabel("all-disabled")
    gpus = len(node.machine.show()["gpus"])
    node.wait_allocatable({GPU: gpus})


@pytest.mark.parametrize("machine", ["g4dn.xlarge", "p3.2xlarge", "g6e.xlarge"])
def test_a_machine_without_mig_offers_its_gpus_and_says_why_a_label_fails(make_node, machine):
    node = make_node(machine)
    node.start()
    node.wait_allocatable({GPU: len(node.machine.show()["gpus"])})
    node.api.label("all-1g.5gb")
    node.wait_state("failed", "all-1g.5gb")
    assert node.api.reason()
    node.wait_allocatable({GPU: len(node.machine.show()["gpus"])})


def test_a_mode_change_that_a_client_holds_up_is_pending_and_follows(node):
    """Ampere: the driver stores the mode and cannot reset the GPU while somebody has it open."""
    client = node.machine.sim("process", "add", "--gpu", 2, "--pid", 4121, "--memory", 100,
                              "--hold")
    node.start(label=None)
    node.wait_allocatable({GPU: 8})
    node.api.label("all-1g.5gb")
    node.wait_state("pending", "all-1g.5gb")
    wait_until(lambda: "4121" in node.api.reason(), lambda: f"the client named: {node.api.reason()}")
    wait_until(lambda: len(node.machine.slices()) == 49, "seven GPUs go on")
    node.machine.sim("process", "remove", "--pid", 4121)
    node.wait_state("success")
    node.wait_allocatable({MIG_1G: 56})
    node.relabel("all-disabled")
    node.wait_allocatable({GPU: 8})
    assert client is not None


def test_a_pod_on_a_whole_gpu_holds_up_its_mode_change(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("whole", {GPU: 1})
    node.wait_phase("Running", "whole")
    node.api.label("all-1g.5gb")
    node.wait_state("pending", "all-1g.5gb")
    wait_until(lambda: "default/whole" in node.api.reason(), lambda: node.api.reason())
    wait_until(lambda: len(node.machine.slices()) == 49, "seven GPUs go on")
    node.kubelet.delete("whole")
    node.wait_state("success")
    node.wait_allocatable({MIG_1G: 56})


def pods_on_slices(node, label, n=6):
    node.start(label=label)
    node.wait_allocatable({f"nvidia.com/mig-{label[4:]}": 56})
    node.add_pods(*names(n), resource=f"nvidia.com/mig-{label[4:]}")
    node.wait_phase("Running", *names(n))
    return {p: node.device(p) for p in names(n)}


@pytest.mark.parametrize("machine,label", [("p4d.24xlarge", "all-1g.5gb"),
                                           ("p5.48xlarge", "all-1g.10gb")])
def test_after_a_driver_reload_geometry_and_uuids_are_back(make_node, machine, label):
    node = make_node(machine)
    devices = pods_on_slices(node, label)
    before = node.machine.slices()
    node.machine.sim("reload")

    def made_anew():
        after = node.machine.slices()
        return set(after) == set(before) and all(after[one] != before[one] for one in before)

    wait_until(made_anew, "the slices are back", 40)
    node.wait_state("success")
    node.wait_allocatable({f"nvidia.com/mig-{label[4:]}": 56})
    assert set(devices.values()) <= set(node.machine.slices())


def test_after_a_reboot_geometry_and_uuids_are_back_without_an_api_server(node):
    devices = pods_on_slices(node, "all-1g.5gb")
    before = set(node.machine.slices())
    node.agent.stop()
    node.machine.sim("reboot")
    node.api.stop()
    node.agent.start()
    wait_until(lambda: set(node.machine.slices()) == before, "the slices are back", 40)
    node.wait_allocatable({MIG_1G: 56})
    assert set(devices.values()) <= before


def test_a_lost_gpu_is_unhealthy_and_comes_back(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.machine.sim("lose", 3)
    node.wait_allocatable({MIG_1G: 49})
    assert node.kubelet.capacity() == {MIG_1G: 56}, "its devices stay on the list"
    node.machine.sim("lose", 3, "--back")
    node.wait_allocatable({MIG_1G: 56})
    node.wait_state("success")


def test_a_driver_that_appears_later_is_served(make_node):
    node = make_node()
    node.machine.sim("unload")
    node.start("--fail-on-init-error=false")
    wait_until(lambda: "driverTrouble" in node.agent.status(), "the driver's absence in the status")
    node.api.label("all-1g.5gb")
    node.machine.sim("load")
    node.wait_state("success", seconds=40)
    node.wait_allocatable({MIG_1G: 56})


def test_a_gpu_whose_driver_refuses_is_told_and_tried_again(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    node.machine.fault("nvmlDeviceCreateGpuInstanceWithPlacement", "INSUFFICIENT_RESOURCES")
    node.api.label("all-1g.5gb")
    node.wait_state("failed", "all-1g.5gb")
    assert "gpu " in node.api.reason(), node.api.reason()
    node.machine.fault("nvmlDeviceCreateGpuInstanceWithPlacement", "--clear")
    node.wait_state("success", seconds=40)
    node.wait_allocatable({MIG_1G: 56})


def test_one_gpu_in_trouble_does_not_hold_up_the_others(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    node.machine.fault("nvmlDeviceSetMigMode", "UNKNOWN", "--times", 1)
    node.relabel("all-balanced")
    node.wait_allocatable(BALANCED)


def test_instances_made_by_others_are_offered_and_left_alone_until_a_label_asks(node):
    node.start(label="all-balanced")
    node.agent.stop()
    for path in node.agent.state_dir.iterdir():
        path.unlink()
    node.api.label(None)
    before = node.machine.slices()
    node.agent.start()
    node.wait_allocatable(BALANCED)
    assert node.machine.slices() == before
    node.kubelet.add("p", MIG_1G)
    node.wait_phase("Running", "p")
    mine = node.device("p")
    node.api.label("all-1g.5gb")
    node.wait_state("success", "all-1g.5gb")
    assert node.machine.slices()[mine] == before[mine]
