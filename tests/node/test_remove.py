"""`kerf remove`: what kerf wrote is taken back before an uninstall, and pods with devices go on."""
import json

from harness import MIG_1G, NODE, run, wait_until

CDI = "k8s.device-plugin.nvidia.com-gpu.json"


def remove(node, *flags, check=True):
    return run("remove", "--kubeconfig", node.api.kubeconfig, *flags, check=check)


def ours(node):
    """What there is of kerf's on the Node."""
    now = node.api.node()
    meta = now["metadata"]
    keys = [k for kind in ("labels", "annotations") for k in meta.get(kind, {})
            if k.startswith(("nvidia.com/", "kerf.dev/"))]
    keys += [c["type"] for c in now.get("status", {}).get("conditions", [])]
    return sorted(keys + [t["key"] for t in now.get("spec", {}).get("taints", [])])


def test_the_node_is_as_it_was_and_what_is_held_stays(node):
    node.api.label("true", "nvidia.com/gpu.present")
    node.start("--gpu-taint", label="all-1g.5gb")
    node.add_pods("a")
    node.wait_phase("Running", "a")
    wait_until(lambda: {"GPUHealthy", "nvidia.com/gpu", "nvidia.com/gpu.count"} <= set(ours(node)),
               lambda: str(ours(node)))
    held = node.device("a")
    slices = node.machine.slices()
    assert "1 of 1 nodes" in remove(node)
    assert ours(node) == ["nvidia.com/gpu.present", "nvidia.com/mig.config"]
    assert node.agent.cdi_names() == {held}
    node.wait_allocatable({})
    node.add_pods("b")
    node.wait_phase("Pending", "b")
    assert node.machine.slices() == slices
    assert node.kubelet.pods()["a"]["phase"] == "Running"
    node.api.label("all-balanced")  # nothing is cut, and nothing written, any more
    node.agent.reload()
    node.kubelet.delete("a")
    node.agent.reload()
    wait_until(lambda: not (node.agent.cdi_dir / CDI).exists(), node.agent.log)
    assert ours(node) == ["nvidia.com/gpu.present", "nvidia.com/mig.config"]
    assert node.machine.slices() == slices
    node.agent.stop()
    assert [p.name for p in node.kubelet.dir.glob("kerf-*")] == []


def test_asked_twice_it_says_so_twice_and_a_new_agent_begins_anew(node):
    node.start(label="all-1g.5gb")
    assert "1 of 1 nodes" in remove(node)
    node.api.call("PATCH", f"/api/v1/nodes/{NODE}",
                  {"metadata": {"annotations": {"kerf.dev/remove": "again"}}},
                  "application/merge-patch+json")
    wait_until(lambda: "kerf.dev/remove" not in ours(node), node.agent.log)
    node.agent.restart()
    node.wait_allocatable({MIG_1G: 56})
    wait_until(lambda: "nvidia.com/gpu.count" in ours(node), lambda: str(ours(node)))


def test_the_features_file_goes_too(node):
    file = node.machine.root / "etc/kubernetes/node-feature-discovery/features.d/gfd"
    node.start("--labels", "file", label="all-1g.5gb")
    wait_until(file.exists, "the features file")
    remove(node)
    assert not file.exists()


def test_it_is_tried_again_where_the_server_refuses(node):
    node.start(label="all-1g.5gb")
    wait_until(lambda: "GPUHealthy" in ours(node), lambda: str(ours(node)))
    node.api.trouble("fault", method="PATCH", path=f"/api/v1/nodes/{NODE}/status", status=403,
                     times=1)
    assert "1 of 1 nodes" in remove(node)
    assert ours(node) == ["nvidia.com/mig.config"]


def test_a_node_without_an_agent_loses_what_is_kerfs_alone(node):
    node.start(label="all-1g.5gb")
    wait_until(lambda: "GPUHealthy" in ours(node), lambda: str(ours(node)))
    node.agent.stop()
    said = remove(node, "--wait", "10ms")
    assert "0 of 1 nodes" in said and f"node {NODE}: no agent answers" in said
    assert "nvidia.com/gpu.count" in ours(node)
    assert not [key for key in ours(node) if key.startswith("kerf.dev/") or key == "GPUHealthy"]


def test_what_is_wrong_on_the_command_line_is_refused(node):
    assert remove(node, "--wait", "soon", check=False).returncode == 2
    assert remove(node, "now", check=False).returncode == 2
    assert run("remove", check=False).returncode == 2
    assert json.loads(run("sim", "show", node.machine.dir, "-o", "json"))
