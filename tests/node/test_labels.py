"""GPU Feature Discovery's labels, on our Node or in NFD's file."""
import json
import subprocess

from harness import KERF, quiet_env, wait_until


def labels(node):
    return {k: v for k, v in node.api.node()["metadata"].get("labels", {}).items()
            if k.startswith("nvidia.com/")}


def told(node, *flags):
    """What `kerf labels` would write."""
    out = subprocess.run([KERF, "labels", "--root", node.machine.root, "--no-timestamp", *flags],
                         text=True, capture_output=True, check=True, env=quiet_env()).stdout
    return dict(line.split("=", 1) for line in out.splitlines())


def test_the_node_carries_the_labels_of_what_it_has_and_only_those(node):
    node.api.label("as-it-was", "nvidia.com/gpu.present")
    node.api.label("stale", "nvidia.com/mig-7g.40gb.count")
    node.start(label="all-1g.5gb")
    want = told(node, "--mig-strategy", "mixed")
    assert want["nvidia.com/mig-1g.5gb.count"] == "56"
    wait_until(lambda: want.items() <= labels(node).items(), lambda: f"labels: {labels(node)}")
    assert "nvidia.com/mig-7g.40gb.count" not in labels(node), "a stale label of ours stays"
    assert labels(node)["nvidia.com/gpu.present"] == "as-it-was", "a label of others was touched"
    node.relabel("all-balanced")
    wait_until(lambda: told(node, "--mig-strategy", "mixed").items() <= labels(node).items(),
               lambda: f"labels: {labels(node)}")
    assert "nvidia.com/mig-1g.5gb.count" in labels(node)
    assert labels(node)["nvidia.com/mig-3g.20gb.count"] == "8"


def test_labels_go_to_the_features_file_where_that_is_wanted(node):
    file = node.machine.root / "etc/kubernetes/node-feature-discovery/features.d/gfd"
    node.start("--labels", "file", label="all-1g.5gb")
    wait_until(file.exists, "the features file")
    wait_until(lambda: "nvidia.com/mig-1g.5gb.count=56" in file.read_text(), file.read_text)
    assert "nvidia.com/mig-1g.5gb.count" not in labels(node)


def test_a_features_file_that_could_not_be_written_is_written_later(node):
    folder = node.machine.root / "etc/kubernetes/node-feature-discovery/features.d"
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    node.start("--labels", "file", label="all-1g.5gb")
    wait_until(lambda: node.agent.logged("features.d"), node.agent.log)
    folder.unlink()
    wait_until((folder / "gfd").exists, node.agent.log)


def test_labels_may_be_left_to_others(node):
    node.start("--labels", "off", label="all-1g.5gb")
    assert "nvidia.com/gpu.count" not in labels(node)


def test_feature_labels_that_are_refused_keep_no_state_from_the_node(node):
    node.api.trouble("fault", method="PATCH", path="/api/v1/nodes", mentions="gpu.count",
                     status=403, times=0)
    node.start(label="all-1g.5gb")
    node.relabel("all-balanced")
    wait_until(lambda: node.agent.logged("without the feature labels"), node.agent.log)
    assert "nvidia.com/gpu.count" not in labels(node)
    node.api.trouble("fault")
    node.relabel("all-1g.5gb")
    wait_until(lambda: labels(node).get("nvidia.com/mig-1g.5gb.count") == "56",
               lambda: f"labels: {labels(node)}")


def test_labels_that_another_writes_too_are_not_fought_over(node):
    node.start(label="all-1g.5gb")
    wait_until(lambda: labels(node).get("nvidia.com/gpu.count") == "8", lambda: str(labels(node)))

    def contested():
        if labels(node).get("nvidia.com/gpu.count") == "8":
            node.api.label("other", "nvidia.com/gpu.count")
        return node.agent.logged("somebody else changes")

    wait_until(contested, node.agent.log)
    node.relabel("all-balanced")
    wait_until(lambda: labels(node).get("nvidia.com/mig-3g.20gb.count") == "8",
               lambda: f"what is new is told at once: {labels(node)}")


def test_the_labels_follow_the_configuration_file(node):
    file = node.folder / "config.yaml"
    file.write_text("version: v1\n")
    node.start("--config-file", file, label="all-disabled")
    wait_until(lambda: labels(node).get("nvidia.com/gpu.replicas") == "1",
               lambda: f"labels: {labels(node)}")
    file.write_text("sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 10}]}}\n")
    wait_until(lambda: labels(node).get("nvidia.com/gpu.replicas") == "10",
               lambda: f"labels: {labels(node)}\n{node.agent.log()}", seconds=8)


def with_gfd(node, **keys):
    """The agent with this block of NVIDIA's configuration file."""
    file = node.folder / "config.yaml"
    file.write_text(json.dumps({"version": "v1", "flags": {"gfd": keys}}))
    node.start("--labels", "file", "--config-file", file, label="all-1g.5gb")
    return file


def test_nvidias_keys_of_feature_discovery_mean_what_they_say(node):
    (node.machine.root / "etc/type").parent.mkdir(exist_ok=True)
    (node.machine.root / "etc/type").write_text("Own Machine\n")
    config = with_gfd(node, noTimestamp=True, outputFile="/run/features/a", machineTypeFile="/etc/type")
    first, second = (node.machine.root / f"run/features/{name}" for name in "ab")
    wait_until(first.exists, node.agent.log)
    wait_until(lambda: "nvidia.com/gpu.machine=Own-Machine\n" in first.read_text(), first.read_text)
    assert "gfd.timestamp" not in first.read_text()
    config.write_text(config.read_text().replace("features/a", "features/b"))
    wait_until(second.exists, node.agent.log)
    wait_until(lambda: not first.exists(), "the file of before is gone")
    assert not node.agent.logged("not served by this version")


def test_labels_are_made_anew_as_often_as_the_file_says(node):
    with_gfd(node, sleepInterval="10ms", outputFile="/run/gfd")
    file = node.machine.root / "run/gfd"
    wait_until(file.exists, node.agent.log)
    file.unlink()
    node.agent.reload()  # a reading, as there is one every ten seconds
    wait_until(file.exists, node.agent.log)


def test_stale_labels_go_when_the_hardware_goes_and_stay_while_it_is_there(node):
    """nvidia-stack.md 3.2: a node keeps no labels of GPUs that have been taken out of it."""
    node.start(label="all-1g.5gb")
    wait_until(lambda: "nvidia.com/gpu.count" in labels(node), lambda: str(labels(node)))
    node.agent.stop()
    library = next(node.machine.root.rglob("libnvidia-ml.so.1"))
    library.rename(library.with_name("away"))
    node.agent.start("--fail-on-init-error=false")
    wait_until(lambda: node.agent.status().get("driverTrouble"), node.agent.log)
    node.agent.reload()
    wait_until(lambda: node.agent.log(200).count("SIGHUP") == 1, node.agent.log)
    assert "nvidia.com/gpu.count" in labels(node)
    bus = node.machine.root / "sys/bus/pci/devices"
    bus.rename(bus.with_name("away"))
    bus.mkdir()
    node.agent.reload()
    wait_until(lambda: "nvidia.com/gpu.count" not in labels(node), lambda: str(labels(node)))
    assert labels(node)["nvidia.com/mig.config"] == "all-1g.5gb"
    bus.rmdir()
    bus.with_name("away").rename(bus)
    library.with_name("away").rename(library)
    node.agent.reload()
    wait_until(lambda: "nvidia.com/gpu.count" in labels(node), lambda: str(labels(node)))


def own(node):
    return {k: v for k, v in node.api.node()["metadata"].get("labels", {}).items()
            if k.startswith("kerf.dev/") or k == "nvidia.com/gpu.present"}


def test_labels_for_a_node_selector_are_set_when_switched_on_and_go_with_the_gpus(node):
    node.start("--node-labels", "present,mode,slices")
    wait_until(lambda: own(node) == {"nvidia.com/gpu.present": "true", "kerf.dev/mode": "whole"},
               lambda: str(own(node)))
    node.relabel("all-1g.5gb")
    wait_until(lambda: own(node) == {"nvidia.com/gpu.present": "true", "kerf.dev/mode": "mig",
                                     "kerf.dev/mig-1g.5gb": "56"}, lambda: str(own(node)))
    library = next(node.machine.root.rglob("libnvidia-ml.so.1"))
    node.agent.stop()
    library.unlink()
    bus = node.machine.root / "sys/bus/pci/devices"
    bus.rename(bus.with_name("away"))
    bus.mkdir()
    node.agent.start("--fail-on-init-error=false", "--node-labels", "present,mode,slices")
    wait_until(lambda: own(node) == {}, lambda: str(own(node)))


def test_the_mode_says_how_gpus_are_sold(make_node):
    node = make_node("g4dn.xlarge")
    file = node.folder / "config.yaml"
    file.write_text("sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 10}]}}\n")
    node.start("--config-file", file, "--node-labels", "mode")
    wait_until(lambda: own(node) == {"kerf.dev/mode": "shared"}, lambda: str(own(node)))
    file.write_text("version: v1\n")
    wait_until(lambda: own(node) == {"kerf.dev/mode": "whole"}, lambda: str(own(node)))
