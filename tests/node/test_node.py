"""Marks on the Node besides labels: taints, the condition GPUHealthy, allocatable of units."""
import pytest

from harness import NODE, wait_until

GPU, MEMORY = "nvidia.com/gpu", "nvidia.com/gpu-memory"
STARTUP = {"key": "kerf.dev/starting", "effect": "NoSchedule"}
OTHER = {"key": "example.com/other", "value": "x", "effect": "NoExecute"}
OURS = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def patch(node, what, sub=""):
    node.api.call("PATCH", f"/api/v1/nodes/{NODE}{sub}", what, kind="application/merge-patch+json")


def taints(node):
    return node.api.node().get("spec", {}).get("taints", [])


def condition(node):
    return next((c for c in node.api.node().get("status", {}).get("conditions", [])
                 if c["type"] == "GPUHealthy"), {})


def wait_condition(node, status, reason):
    wait_until(lambda: (condition(node).get("status"), condition(node).get("reason")) ==
               (status, reason), lambda: f"{condition(node)}\n{node.agent.log()}")


def test_a_startup_taint_goes_once_the_gpus_are_allocatable_and_no_other_does(make_node):
    node = make_node()
    patch(node, {"spec": {"taints": [OTHER, STARTUP]}})
    node.start("--startup-taint", "kerf.dev/starting")
    node.wait_allocatable({GPU: 8})
    assert taints(node) == [OTHER, STARTUP], "the API server does not know yet"
    patch(node, {"status": {"allocatable": {GPU: "8"}}}, "/status")
    wait_until(lambda: taints(node) == [OTHER], lambda: taints(node))


def test_a_taint_that_is_none_is_refused_at_the_start(make_node):
    node = make_node()
    node.agent.start("--startup-taint", "kerf.dev/starting:Sometimes")
    assert node.agent.process.wait(20) == 1
    node.agent.process = None
    assert "--startup-taint: 'kerf.dev/starting:Sometimes': the effect of a taint is" in \
        node.agent.log()


def test_gpu_nodes_are_tainted_when_that_is_switched_on(make_node):
    node = make_node()
    patch(node, {"spec": {"taints": [OTHER]}})
    node.start("--gpu-taint")
    wait_until(lambda: taints(node) == [OTHER, OURS], lambda: taints(node))
    patch(node, {"spec": {"taints": []}})
    wait_until(lambda: taints(node) == [OURS], lambda: taints(node))


def test_the_condition_tells_of_an_ill_gpu_and_of_its_recovery(make_node):
    node = make_node()
    patch(node, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "/status")
    node.start()
    wait_condition(node, "True", "GPUsHealthy")
    first = condition(node)["lastTransitionTime"]
    assert first.endswith("Z")
    node.machine.sim("ail", 3, "--recovery", 1)
    node.machine.sim("xid", 3, 79)
    wait_condition(node, "False", "GPUUnhealthy")
    assert "gpu 3" in condition(node)["message"]
    node.machine.sim("ail", 3, "--recovery", 0)
    wait_condition(node, "True", "GPUsHealthy")
    types = [c["type"] for c in node.api.node()["status"]["conditions"]]
    assert sorted(types) == ["GPUHealthy", "Ready"], "no other condition is touched"


def test_a_driver_that_is_gone_makes_the_condition_unknown(make_node):
    node = make_node()
    node.start()
    wait_condition(node, "True", "GPUsHealthy")
    node.machine.sim("unload")
    wait_condition(node, "Unknown", "DriverDoesNotAnswer")
    node.machine.sim("load")
    wait_condition(node, "True", "GPUsHealthy")


def test_the_condition_may_be_switched_off(make_node):
    node = make_node()
    node.start("--node-condition=false")
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: node.api.get_label("nvidia.com/gpu.count") == "8", "labels")
    assert condition(node) == {}


def test_fewer_units_of_memory_are_told_to_the_api_server_without_the_kubelet(make_node):
    node = make_node()
    file = node.folder / "config.yaml"
    file.write_text("kerf: {gpuMemory: {devices: [0]}}\n")
    node.start("--config-file", file)
    node.wait_allocatable({MEMORY: 39, GPU: 7})
    node.kubelet.add("a", {MEMORY: 10})
    node.api.add_pod("a", uid=node.kubelet.pods()["a"]["uid"])
    node.wait_phase("Running", "a")
    node.api.end_pod("a")
    told = lambda: node.api.node().get("status", {}).get("allocatable", {}).get(MEMORY)
    wait_until(lambda: told() == "29", lambda: f"{told()}\n{node.agent.log()}")
