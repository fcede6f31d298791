"""The driver's time-slice length (`kerf.timeSlice`): set before a GPU's replicas are offered, put back
when it is not wanted any more, said where the driver refuses it."""
from harness import wait_until

GPU = "nvidia.com/gpu"
SHARED = "sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 2}]}}\n"
SHORT = "kerf: {timeSlice: short}\n"
DEFAULT, SHORTER, MEDIUM, LONG = range(4)


def edit(node, text):
    new = node.folder / "config.yaml.new"
    new.write_text(text)
    new.rename(node.file)


def start(make_node, text, machine="g4dn.xlarge"):
    node = make_node(machine)
    node.file = node.folder / "config.yaml"
    node.file.write_text(text)
    node.smi = node.machine.root / "usr/bin/nvidia-smi"
    node.calls = node.folder / "smi.calls"
    return node


def wrap(node, script):
    """A script in nvidia-smi's place, which may call the one that was there as $real."""
    real = node.folder / "nvidia-smi.real"
    if not real.exists():
        node.smi.rename(real)
    # by itself it finds no machine, not being below its root
    node.smi.write_text(f"#!/bin/sh\nreal={real}\nexport KERF_SIM_DIR={node.machine.dir}\n"
                        f"echo \"$@\" >>{node.calls}\n{script}\n")
    node.smi.chmod(0o755)


def begin(node):
    node.start("--config-file", node.file)
    return node


def lengths(node):
    return [gpu["time_slice"] for gpu in node.machine.show()["gpus"]]


def wait_lengths(node, *want):
    wait_until(lambda: lengths(node) == list(want),
               lambda: f"time slices {want}, there are {lengths(node)}\n{node.agent.log()}")


def test_the_length_is_set_before_the_first_replica_is_offered(make_node):
    node = start(make_node, SHORT + SHARED)
    wrap(node, "sleep 0.3; exec $real \"$@\"")
    seen = []
    node.kubelet.on_list.append(lambda resource, before, after: seen.append(lengths(node)))
    begin(node).wait_allocatable({GPU: 2})
    assert seen and all(one == [SHORTER] for one in seen), seen
    assert "time slices are short" in node.agent.log()
    assert node.agent.status()["gpus"][0]["timeSlice"] == "short"


def test_a_change_of_the_file_sets_it_first_too_and_its_end_puts_it_back(make_node):
    node = begin(start(make_node, "version: v1\n"))
    node.wait_allocatable({GPU: 1})
    assert lengths(node) == [DEFAULT]
    wrap(node, "sleep 0.3; exec $real \"$@\"")
    seen = []
    node.kubelet.on_list.append(lambda resource, before, after: seen.append(
        (any("::" in one for one in after), lengths(node))))
    edit(node, SHORT + SHARED)
    node.wait_allocatable({GPU: 2})
    assert all(length == [SHORTER] for shared, length in seen if shared), seen
    edit(node, "kerf: {timeSlice: long}\n" + SHARED)
    wait_lengths(node, LONG)
    edit(node, SHARED)
    wait_lengths(node, DEFAULT)
    wait_until(lambda: not (node.agent.state_dir / "time-slices").exists(), "nothing is remembered")


def test_it_stays_while_a_pod_holds_a_replica_and_goes_with_it(make_node):
    node = begin(start(make_node, SHORT + SHARED))
    node.wait_allocatable({GPU: 2})
    node.add_pods("holder", resource=GPU)
    node.wait_phase("Running", "holder")
    edit(node, SHORT)  # whole again, once the pod is gone
    wait_until(lambda: node.agent.status().get("soldAnew"), "the new way waits")
    assert lengths(node) == [SHORTER]
    node.kubelet.delete("holder")
    node.wait_allocatable({GPU: 1})
    wait_lengths(node, DEFAULT)


def test_each_gpu_may_have_its_own_and_whole_ones_have_none(make_node):
    config = """
kerf:
  honour: [devices]
  timeSlice: medium
  timeSlices:
    - {devices: [1], length: long}
    - {devices: [1, 2, 5], length: default}
sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, devices: [0, 1, 2, 3], replicas: 2}]}}
"""
    node = begin(start(make_node, config, "p4d.24xlarge"))
    node.wait_allocatable({GPU: 12})
    wait_lengths(node, MEDIUM, LONG, DEFAULT, MEDIUM, DEFAULT, DEFAULT, DEFAULT, DEFAULT)


def test_an_agent_that_comes_later_puts_it_back(make_node):
    node = begin(start(make_node, SHORT + SHARED))
    node.wait_allocatable({GPU: 2})
    node.agent.kill()
    node.file.write_text(SHARED)
    node.agent.start()
    wait_lengths(node, DEFAULT)
    node.wait_allocatable({GPU: 2})


def test_it_is_put_back_on_a_node_that_kerf_is_removed_from(make_node):
    node = begin(start(make_node, SHORT + SHARED))
    node.wait_allocatable({GPU: 2})
    node.api.call("PATCH", "/api/v1/nodes/node-1", {"metadata": {"annotations": {
        "kerf.dev/remove": "true"}}}, "application/merge-patch+json")
    wait_lengths(node, DEFAULT)


def calls(node):
    return node.calls.read_text().count("set-timeslice") if node.calls.exists() else 0


def test_it_is_set_again_when_the_driver_was_loaded_anew(make_node):
    node = start(make_node, SHORT + SHARED)
    wrap(node, "exec $real \"$@\"")
    begin(node).wait_allocatable({GPU: 2})
    assert calls(node) == 1
    node.machine.sim("reload")  # every GPU is as the driver has it by itself
    wait_until(lambda: calls(node) > 1, lambda: f"it is set again\n{node.agent.log()}")
    wait_lengths(node, SHORTER)
    node.wait_allocatable({GPU: 2})


def test_what_the_driver_refuses_is_said_and_the_replicas_are_offered(make_node):
    node = start(make_node, SHORT + SHARED)
    wrap(node, "echo 'Failed to set timeslice policy with value Short for GPU 0 : Not Supported'; exit 3")
    begin(node).wait_allocatable({GPU: 2})
    wait_until(lambda: "Not Supported; time slices stay as long as they are" in node.agent.log(),
               node.agent.log)
    assert "Not Supported" in node.agent.status()["gpus"][0]["timeSliceTrouble"]
    assert calls(node) == 1  # not again and again
    wrap(node, "exec $real \"$@\"")
    node.agent.reload()
    wait_lengths(node, SHORTER)
    wait_until(lambda: "timeSliceTrouble" not in node.agent.status()["gpus"][0], "it is well")


def test_without_nvidia_smi_it_is_said(make_node):
    node = start(make_node, SHORT + SHARED)
    node.smi.unlink()
    begin(node).wait_allocatable({GPU: 2})
    wait_until(lambda: "there is no nvidia-smi below" in node.agent.log(), node.agent.log)


def test_one_that_dies_is_no_end_of_the_agent(make_node):
    node = start(make_node, SHORT + SHARED)
    wrap(node, "kill -9 $$")
    begin(node).wait_allocatable({GPU: 2})
    assert "was ended by signal 9" in node.agent.log()


def test_nobody_runs_nvidia_smi_who_did_not_ask_for_it(make_node):
    node = start(make_node, SHARED)
    wrap(node, "exec $real \"$@\"")
    begin(node).wait_allocatable({GPU: 2})
    edit(node, "version: v1\n")
    node.wait_allocatable({GPU: 1})
    assert not node.calls.exists()


def test_pods_that_come_and_go_do_not_have_it_set_again(make_node):
    node = start(make_node, SHORT + SHARED)
    wrap(node, "exec $real \"$@\"")
    begin(node).wait_allocatable({GPU: 2})
    for n in range(40):
        node.api.label("none" if n % 2 else None, key="example.com/x")
        node.add_pods(f"p{n}", resource=GPU)
        node.kubelet.delete(f"p{n}")
    node.wait_allocatable({GPU: 2})
    assert calls(node) == 1
