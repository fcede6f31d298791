"""GPU memory by the unit: `nvidia.com/gpu-memory`, what of it is on sale, and who gets what."""
import pytest

from harness import wait_until

MEMORY, GPU = "nvidia.com/gpu-memory", "nvidia.com/gpu"
UNITS = 39  # of an A100-40: 40,960 MiB less what the driver and the MPS server keep


def start(make_node, machine="p4d.24xlarge", more="", **kwargs):
    node = make_node(machine)
    node.file = node.folder / "config.yaml"
    node.file.write_text(f"kerf: {{gpuMemory: {{{more}}}}}\n")
    node.start("--config-file", node.file, **kwargs)
    return node


def add(node, pod, units, **more):
    """A pod on the kubelet and on the API server."""
    answer = node.kubelet.add(pod, {MEMORY: units}, **more)
    node.api.add_pod(pod, uid=node.kubelet.pods()[pod]["uid"])
    return answer


def gpus(node, pod):
    """The GPUs that a pod's units are of."""
    return {one.split("::")[0] for one in node.kubelet.pods()[pod]["devices"][MEMORY]}


@pytest.mark.parametrize("machine,one,gpus", [("p4d.24xlarge", 39, 8), ("p5.48xlarge", 79, 8),
                                              ("p5en.48xlarge", 139, 8), ("g4dn.xlarge", 14, 1)])
def test_a_gpu_is_sold_as_the_memory_that_it_has_in_units_of_1_gib(make_node, machine, one, gpus):
    node = start(make_node, machine)
    node.wait_allocatable({MEMORY: one})
    assert node.kubelet.capacity() == {MEMORY: one * gpus}


def test_a_finer_unit_has_a_name_of_its_own(make_node):
    node = start(make_node, "g4dn.xlarge", more="unit: 512Mi")
    node.wait_allocatable({MEMORY + "-512mi": 28})


def test_some_gpus_are_sold_by_memory_and_the_others_whole(make_node):
    node = start(make_node, more="devices: [0, 1]")
    node.wait_allocatable({MEMORY: UNITS, GPU: 6})


def test_three_sizes_fit_one_gpu_and_the_fourth_waits(make_node):
    node = start(make_node, more="devices: [3]")
    for pod, units in (("four", 4), ("ten", 10), ("twenty", 20)):
        add(node, pod, units)
    node.wait_phase("Running", "four", "ten", "twenty")
    add(node, "ten-more", 10)
    assert node.kubelet.pods()["ten-more"]["phase"] == "Pending"
    assert len({one for pod in ("four", "ten", "twenty") for one in gpus(node, pod)}) == 1
    node.kubelet.delete("four")
    node.kubelet.delete("ten")
    node.wait_phase("Running", "ten-more")


def test_exact_keeps_allocatable_at_what_is_taken_and_the_largest_block(make_node):
    node = start(make_node)
    node.wait_allocatable({MEMORY: UNITS})
    taken = 0
    for i in range(8):
        add(node, f"p{i}", 10)
        taken += 10
        free = UNITS if i < 7 else UNITS - 10
        node.wait_allocatable({MEMORY: taken + free})
    assert len({one for i in range(8) for one in gpus(node, f"p{i}")}) == 8, "spread over the GPUs"
    node.kubelet.delete("p3")
    node.wait_allocatable({MEMORY: 70 + UNITS})


def test_total_offers_all_packs_tightly_and_refuses_what_no_gpu_has(make_node):
    node = start(make_node, more="fit: total, devices: [0, 1]")
    node.wait_allocatable({MEMORY: 2 * UNITS, GPU: 6})
    add(node, "a", 20)
    add(node, "b", 15)
    node.wait_phase("Running", "a", "b")
    assert gpus(node, "a") == gpus(node, "b"), "best fit"
    add(node, "c", 10)
    node.wait_phase("Running", "c")
    answer = add(node, "large", 33)
    wait_until(lambda: node.kubelet.pods()["large"]["phase"] == "Failed",
               lambda: f"{answer} {node.kubelet.pods()['large']}")
    assert "asks for 33 of nvidia.com/gpu-memory, and no GPU has so many free" in node.agent.log(100)


def test_units_of_a_pod_that_is_being_deleted_are_taken_back_at_once(make_node):
    node = start(make_node, more="devices: [0, 1]")
    add(node, "a", 30)
    add(node, "b", 20)
    node.wait_phase("Running", "a", "b")
    node.wait_allocatable({MEMORY: 50 + 19, GPU: 6})
    node.api.end_pod("b")
    node.wait_allocatable({MEMORY: 30 + 19, GPU: 6})
    assert node.kubelet.pods()["b"]["phase"] == "Running", "nothing else was done to it"
    node.kubelet.delete("b")
    node.wait_allocatable({MEMORY: 30 + UNITS, GPU: 6})


def test_a_change_from_memory_to_whole_waits_for_the_last_holder(make_node):
    node = start(make_node, "g4dn.xlarge")
    add(node, "a", 4)
    node.wait_phase("Running", "a")
    new = node.folder / "config.yaml.new"
    new.write_text("version: v1\n")
    new.rename(node.file)
    wait_until(lambda: sum(node.kubelet.lists[MEMORY].values()) == 0,
               lambda: node.kubelet.lists)
    assert GPU not in node.kubelet.allocatable()
    node.kubelet.delete("a")
    node.wait_allocatable({GPU: 1})
