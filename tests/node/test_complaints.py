"""What users of NVIDIA's stack complain about, and what kerf does in the same place.

One test for each row of nvidia-stack.md, section 7, that concerns plugin, configuration or labels;
the name is the complaint turned around, the docstring has row and issues.  Each provokes the trouble
itself and looks at what kubelet, Node and pods see.
"""
import json

import pytest

from harness import MIG_1G, run, wait_until

GPU = "nvidia.com/gpu"
HEALTH, CONFIG_REASON = "kerf.dev/health", "kerf.dev/config-reason"
PLUGIN_LABEL = "nvidia.com/device-plugin.config"


def up(node, *flags, want, text=None, label=None):
    """The agent, with this configuration file; the answer is its process id."""
    if text:
        file = node.folder / "config.yaml"
        file.write_text(text)
        flags = ("--config-file", file, *flags)
    node.start(*flags, label=label)
    node.wait_allocatable(want)
    return node.agent.process.pid


def annotation(node, key):
    return node.api.node()["metadata"].get("annotations", {}).get(key, "")


def nvidia_labels(node):
    return {k: v for k, v in node.api.node()["metadata"].get("labels", {}).items()
            if k.startswith("nvidia.com/")}


def listens(node):
    calls = node.machine.show()["calls"]["by_name"]
    return calls.get("nvmlEventSetCreate", 0) == calls.get("nvmlEventSetFree", 0) + 1 and \
        calls.get("nvmlEventSetWait_v2", 0) > 0


def ill(node, resource):
    return {one for one, healthy in node.kubelet.lists.get(resource, {}).items() if not healthy}


def ever_ill(node, resource):
    return {d["id"] for e in node.kubelet.events if e["event"] == "list" and
            e["resource"] == resource for d in e["devices"] if not d["healthy"]}


def shared(replicas, *more, name="nvidia.com/gpu"):
    return (f"version: v1\nsharing: {{timeSlicing: {{resources: [{{name: {name}, "
            f"replicas: {replicas}}}]}}}}\n" + "".join(more))


def test_a_gpu_that_fell_ill_comes_back_without_a_restart(node):
    """Row 1: k8s-device-plugin#1014, #111, #426, #519; gpu-operator#1065; HAMi#2200."""
    pid = up(node, want={GPU: 8})
    wait_until(lambda: listens(node), "the agent listens")
    node.machine.sim("xid", 3, 119)
    wait_until(lambda: len(ever_ill(node, GPU)) == 1, "one GPU is Unhealthy")
    node.wait_allocatable({GPU: 8})
    assert node.agent.process.pid == pid and node.agent.alive()
    node.add_pods(*(f"p{i}" for i in range(8)), resource=GPU)
    node.wait_phase("Running", *(f"p{i}" for i in range(8)))


def test_one_xid_takes_every_replica_of_its_slice_and_no_other(node):
    """Row 2: k8s-device-plugin#1929 (PR 1930)."""
    up(node, want={MIG_1G: 168}, text=shared(3, name="nvidia.com/mig-1g.5gb"), label="all-1g.5gb")
    wait_until(lambda: listens(node), "the agent listens")
    gi = node.machine.show()["gpus"][4]["instances"][2]
    node.machine.sim("xid", 4, 119, "--gi", gi["id"], "--ci", 0)
    mine = gi["compute"][0]["uuid"]
    wait_until(lambda: len(ever_ill(node, MIG_1G)) == 3, "three replicas are Unhealthy")
    node.wait_allocatable({MIG_1G: 168})
    assert ever_ill(node, MIG_1G) == {f"{mine}::{i}" for i in range(3)}


def test_one_gpu_off_the_bus_keeps_no_pod_from_the_others(node):
    """Row 3: k8s-device-plugin#2038, #231: preferred allocation failed for every pod of the node."""
    up(node, want={GPU: 8})
    node.machine.sim("lose", 3)
    node.wait_allocatable({GPU: 7})
    node.kubelet.add("four", {GPU: 4})
    node.wait_phase("Running", "four")
    lost = ill(node, GPU)
    chosen = set(node.kubelet.pods()["four"]["devices"][GPU])
    assert len(lost) == 1 and len(chosen) == 4 and not lost & chosen
    assert not any(p["phase"] == "Failed" for p in node.kubelet.pods().values())


def test_other_slices_are_offered_at_once_and_old_names_go(node):
    """Row 5: k8s-device-plugin#992, #240, #389, #214; nothing is restarted, nor told to read again."""
    pid = up(node, want={MIG_1G: 56}, label="all-1g.5gb")
    node.relabel("all-3g.20gb")
    node.wait_allocatable({"nvidia.com/mig-3g.20gb": 16})
    wait_until(lambda: set(node.kubelet.capacity()) == {"nvidia.com/mig-3g.20gb"},
               lambda: f"the old name goes: {node.kubelet.capacity()}")
    assert node.agent.process.pid == pid


def test_some_gpus_are_shared_by_two_some_by_four_and_the_rest_is_whole(node):
    """Row 8: k8s-device-plugin#1786, #628; gpu-operator#835, #465."""
    up(node, want={"nvidia.com/half": 4, "nvidia.com/quarter": 8, GPU: 4}, text="""\
kerf: {honour: [devices, rename]}
sharing:
  timeSlicing:
    resources:
    - {name: nvidia.com/gpu, replicas: 2, rename: half, devices: [0, 1]}
    - {name: nvidia.com/gpu, replicas: 4, rename: quarter, devices: [2, 3]}
""")
    for resource in ("nvidia.com/half", "nvidia.com/quarter", GPU):
        node.kubelet.add(resource[-4:], {resource: 1})
        node.wait_phase("Running", resource[-4:])


def test_a_quota_by_model_is_possible_since_each_model_has_a_name(make_node):
    """Row 9: k8s-device-plugin#1121, #424, #1024, #353."""
    text = """\
resources:
  gpus:
  - {pattern: "*H100*", name: nvidia.com/h100}
  - {pattern: "*A100*", name: nvidia.com/a100}
  - {pattern: "Tesla*", name: nvidia.com/t4}
  - {pattern: "*", name: nvidia.com/gpu}
"""
    node = make_node("mixed")
    up(node, want={GPU: 5}, text=text)
    assert "dropped, as NVIDIA's plugin does" in node.agent.log(200)
    (node.folder / "config.yaml").write_text("kerf: {honour: [resources]}\n" + text)
    node.wait_allocatable({"nvidia.com/h100": 1, "nvidia.com/a100": 1, "nvidia.com/t4": 1, GPU: 2})
    node.kubelet.add("p", "nvidia.com/a100")
    node.wait_phase("Running", "p")
    a100 = [g["uuid"] for g in node.agent.status()["gpus"] if "A100" in g["name"]]
    assert [node.device("p")] == a100


def test_a_pod_that_asks_for_nothing_and_names_all_gpus_is_told_of_with_the_cure(node):
    """Row 19: k8s-device-plugin#61, #87, #195, #1605; gpu-operator#700.

    kerf cannot keep the toolkit from it; it says so, and its own pods do without that door: they are
    given `void`, at which the toolkit adds nothing.
    """
    file = node.machine.root / "etc/nvidia-container-runtime/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("disable-require = false\n")
    up(node, "--cdi=cdi", want={GPU: 8})
    wait_until(lambda: any(r == "ToolkitGivesAllGPUs" and "when-unprivileged = false" in note
                           for r, note in node.api.events()), lambda: node.api.events())
    node.kubelet.add("p", GPU)
    node.wait_phase("Running", "p")
    (name,) = node.kubelet.pods()["p"]["answers"][0]["cdi"]
    spec = json.loads((node.folder / "cdi/k8s.device-plugin.nvidia.com-gpu.json").read_text())
    assert name.startswith(spec["kind"] + "=")
    assert "NVIDIA_VISIBLE_DEVICES=void" in spec["containerEdits"]["env"]


@pytest.mark.parametrize("policy,different", [("packed", 1), ("distributed", 2), ("must-differ", 2)])
def test_two_replicas_of_one_container_are_of_one_gpu_or_of_two_as_chosen(node, policy, different):
    """Row 21: k8s-device-plugin#1690; gpu-operator#386, #465."""
    up(node, "--shared-devices-allocation-policy", policy, want={GPU: 32}, text=shared(4))
    node.kubelet.add("p", {GPU: 2})
    node.wait_phase("Running", "p")
    ids = node.kubelet.pods()["p"]["devices"][GPU]
    assert len(ids) == 2 and len({one.split("::")[0] for one in ids}) == different


def test_more_different_gpus_than_there_are_is_refused_with_the_reason(node):
    """Row 21 again: `must-differ` gives no two of one GPU, not even when only those are left."""
    up(node, "--shared-devices-allocation-policy=must-differ", want={GPU: 32}, text=shared(4))
    node.kubelet.add("p", {GPU: 9})
    node.wait_phase("Failed", "p")
    assert "must be of different devices" in str(node.kubelet.pods()["p"])


def test_pods_live_through_a_kubelets_restart_and_new_ones_wait_for_the_devices(node):
    """Row 22: kubernetes#125579, #133382, #118559, #138446: plugins that register too late."""
    up(node, want={MIG_1G: 56}, label="all-1g.5gb")
    node.add_pods("old")
    node.wait_phase("Running", "old")
    mine = node.device("old")
    for _ in range(5):
        node.kubelet.ask("restart")
        node.wait_allocatable({MIG_1G: 56})
        assert node.kubelet.pods()["old"]["phase"] == "Running" and node.device("old") == mine
    node.add_pods("new")
    node.wait_phase("Running", "new")
    assert not any(p["phase"] == "Failed" for p in node.kubelet.pods().values())


def test_devices_are_offered_before_the_api_server_answers(make_node):
    """Row 22 again: after a reboot the network may be the last that comes up."""
    node = make_node()
    node.api.stop()
    node.agent.start("--mig-strategy=mixed")
    node.wait_allocatable({GPU: 8})
    node.add_pods("p", resource=GPU)
    node.wait_phase("Running", "p")


def test_a_label_ahead_of_its_configuration_waits_for_it(node):
    """Row 23: nos#57: the plugin's sidecar ended in a loop, and came back minutes later."""
    folder = node.folder / "configs"
    folder.mkdir()
    (folder / "small").write_text(shared(2))
    node.api.label("small", PLUGIN_LABEL)
    pid = up(node, "--config-dir", folder, want={GPU: 16})
    node.api.label("large", PLUGIN_LABEL)
    wait_until(lambda: "'large'" in annotation(node, CONFIG_REASON), "the Node says what is missing")
    assert node.kubelet.allocatable() == {GPU: 16}
    (folder / "large").write_text(shared(5))
    node.wait_allocatable({GPU: 40})
    assert node.agent.process.pid == pid


def test_the_node_says_how_many_replicas_it_has_where_an_autoscaler_can_read_it(node):
    """Row 26: karpenter#729: scale-up counts a g4dn as one GPU, whatever its replicas.

    Before there is a Node nobody can ask it: that is Karpenter's to solve.  Once there is one, its
    allocatable has every replica, and labels tell GPUs from replicas, which a NodePool or a
    cluster-autoscaler's node template can carry.
    """
    up(node, want={GPU: 80}, text=shared(10))
    want = {"nvidia.com/gpu.count": "8", "nvidia.com/gpu.replicas": "10",
            "nvidia.com/gpu.sharing-strategy": "time-slicing"}
    wait_until(lambda: want.items() <= nvidia_labels(node).items(), lambda: nvidia_labels(node))
    assert nvidia_labels(node)["nvidia.com/gpu.product"].endswith("-SHARED")
    assert node.kubelet.capacity() == {GPU: 80}


def test_labels_come_when_the_driver_does_and_need_no_feature_discovery(node):
    """Row 27: k8s-device-plugin#733, gpu-feature-discovery#71, #75; gpu-operator#106."""
    node.machine.sim("unload")
    node.start("--fail-on-init-error=false")
    wait_until(lambda: node.agent.status().get("driverTrouble"), "the agent runs without a driver")
    assert "nvidia.com/gpu.count" not in nvidia_labels(node)
    node.machine.sim("load")
    wait_until(lambda: nvidia_labels(node).get("nvidia.com/gpu.count") == "8",
               lambda: nvidia_labels(node))
    node.wait_allocatable({GPU: 8})


def test_slices_follow_the_label_on_a_node_that_no_operator_knows(node):
    """Row 28: gpu-operator#1704, #946; bottlerocket#4162: a MIG manager that waits for its operator."""
    up(node, want={MIG_1G: 56}, label="all-1g.5gb")
    labels = nvidia_labels(node)
    assert not [k for k in labels if k.startswith("nvidia.com/gpu.deploy")]
    assert labels["nvidia.com/mig.config.state"] == "success"


def test_a_driver_that_errs_at_the_start_is_asked_again(node):
    """Row 29: k8s-device-plugin#1698, #338, #502; and how to have one: `kerf sim fault`."""
    node.machine.fault("nvmlInit_v2", "UNKNOWN", "--times", 3)
    node.start("--fail-on-init-error=false")
    node.wait_allocatable({GPU: 8})
    assert node.agent.logged("looking again"), node.agent.log()


def test_capacity_does_not_go_when_the_driver_errs_for_a_while_and_the_node_says_why(node):
    """Row 29 again: capacity went to 0 after days, and nothing was said."""
    up(node, want={GPU: 8})
    node.machine.fault("nvmlDeviceGetCount_v2", "UNKNOWN")
    node.agent.reload()
    wait_until(lambda: node.kubelet.allocatable() == {}, "nothing is handed out")
    assert node.kubelet.capacity() == {GPU: 8}
    wait_until(lambda: annotation(node, HEALTH), "the Node says why")
    node.machine.fault("nvmlDeviceGetCount_v2", "--clear")
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: not annotation(node, HEALTH), "and that it is over")


def test_a_restarted_kubelet_sees_no_healthy_gpu_as_unhealthy(node):
    """Row 30: k8s-device-plugin#426: all were Unhealthy, and pods `Running` nobody probed."""
    up(node, want={GPU: 8})
    node.add_pods("p", resource=GPU)
    node.wait_phase("Running", "p")
    seen = len(node.kubelet.events)
    for _ in range(3):
        node.kubelet.ask("restart")
        node.wait_allocatable({GPU: 8})
    lists = [e for e in node.kubelet.events[seen:] if e["event"] == "list" and e["resource"] == GPU]
    assert len(lists) >= 3
    assert [d for e in lists for d in e["devices"] if not d["healthy"]] == []
    assert node.device("p") in node.agent.cdi_names()
    text = run("status", "--root", node.machine.root, "--state-dir", node.agent.state_dir)
    assert "default/p" in text
