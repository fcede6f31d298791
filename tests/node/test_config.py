"""Bad input is refused with the reason, and the node serves on; files are read again on SIGHUP."""
import json

import pytest

from harness import MIG_1G, run, wait_until
from test_slices import BALANCED, GPU


def refused(node, label):
    """The label fails; the reason, which is in annotation and Event alike."""
    node.api.label(label)
    node.wait_state("failed", label)
    reason = wait_until(node.api.reason, "a reason in the annotation")
    wait_until(lambda: any(reason in note for _, note in node.api.events()),
               lambda: f"the reason in an Event: {reason}: {node.api.events()}")
    return reason


def test_an_unknown_label_fails_with_a_suggestion_and_the_node_serves_on(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    reason = refused(node, "all-1g.5bg")
    assert "all-1g.5bg" in reason and "all-1g.5gb" in reason
    assert node.kubelet.allocatable() == {MIG_1G: 56}
    node.kubelet.add("p", MIG_1G)
    node.wait_phase("Running", "p")
    node.relabel("all-1g.5gb")
    assert node.api.reason() == ""


def test_a_config_for_other_hardware_fails_and_says_so(node):
    node.start(label="all-1g.5gb")
    reason = refused(node, "all-1g.18gb")
    assert "1g.18gb" in reason
    assert node.kubelet.allocatable() == {MIG_1G: 56}


CUSTOM = """version: v1
mig-configs:
  mine:
    - devices: all
      mig-enabled: true
      mig-devices: {%s}
"""


@pytest.mark.parametrize("devices", ["1g.5gb: 8", "1g.5gb: -1", "nonsense: 1",
                                     "3g.20gb: 2, 2g.10gb: 1"])
def test_a_geometry_that_cannot_be_is_refused_with_its_line(node, devices):
    config = node.folder / "mig.yaml"
    config.write_text(CUSTOM % "1g.5gb: 7")
    node.start("--mig-config", config, label="mine")
    node.wait_allocatable({MIG_1G: 56})
    config.write_text(CUSTOM % devices)
    node.agent.reload()
    wait_until(lambda: "mig.yaml:" in node.agent.log(200) or "mig.yaml:" in node.api.reason(),
               lambda: f"file and line are named: {node.api.reason()}")
    assert node.kubelet.allocatable() == {MIG_1G: 56}
    assert len(node.machine.slices()) == 56


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"version: v1\nmig-configs: [", b"a: &a "
                                     b"[*a, *a]", b"x" * 10_000_000, b"version: v2\n"], ids=[
                                         "empty", "non-UTF-8", "cut off", "an alias of itself",
                                         "10 MB", "another version"])
def test_a_broken_file_at_start_leaves_the_node_serving(make_node, content):
    node = make_node()
    config = node.folder / "mig.yaml"
    config.write_bytes(content)
    node.start("--mig-config", config)
    node.wait_allocatable({GPU: 8})
    reason = refused(node, "mine")
    assert "mig.yaml" in reason
    config.write_text(CUSTOM % "1g.5gb: 7")
    node.agent.reload()
    node.wait_state("success", "mine")
    node.wait_allocatable({MIG_1G: 56})


def test_a_file_read_again_changes_the_node(node):
    config = node.folder / "mig.yaml"
    config.write_text(CUSTOM % "1g.5gb: 7")
    node.start("--mig-config", config, label="mine")
    node.wait_allocatable({MIG_1G: 56})
    config.write_text(CUSTOM % "1g.5gb: 2, 2g.10gb: 1, 3g.20gb: 1")
    node.agent.reload()
    node.wait_allocatable(BALANCED)
    node.wait_state("success", "mine")


def test_status_shows_slices_and_holders_as_text_and_json(node):
    node.start(label="all-balanced")
    node.wait_allocatable(BALANCED)
    node.kubelet.add("p", MIG_1G)
    node.wait_phase("Running", "p")
    mine = node.device("p")

    def holder():
        for gpu in node.agent.status()["gpus"]:
            for s in gpu["slices"]:
                if s["uuid"] == mine and s["state"] == "held":
                    return [h.get("pod") for h in s["holders"]]
        return None
    wait_until(lambda: holder() == ["p"], lambda: f"the holder: {holder()}")
    text = run("status", "--root", node.machine.root, "--state-dir", node.agent.state_dir)
    assert "all-balanced: success" in text and "default/p" in text
    assert text.count("1g.5gb") == 16


def test_status_without_an_agent_asks_the_driver_and_the_files(node):
    node.start(label="all-balanced")
    node.wait_allocatable(BALANCED)
    node.kubelet.add("p", MIG_1G)
    node.wait_phase("Running", "p")
    node.agent.stop()
    status = json.loads(run("status", "-o", "json", "--root", node.machine.root, "--state-dir",
                            node.agent.state_dir, "--kubelet-dir", node.kubelet.dir))
    assert status["source"] == "driver"
    held = [s["uuid"] for g in status["gpus"] for s in g["slices"] if s["state"] == "held"]
    assert held == [node.device("p")]


def test_apply_without_kubernetes_does_what_the_label_does(make_node):
    node = make_node(api=False)
    run("apply", "--root", node.machine.root, "--state-dir", node.folder / "state", "--cdi-dir",
        node.folder / "cdi", "--kubelet-dir", node.kubelet.dir, "-c", "all-balanced")
    assert node.machine.profiles() == {"1g.5gb": 16, "2g.10gb": 8, "3g.20gb": 8}
    node.start()
    node.wait_allocatable(BALANCED)


def test_a_state_directory_that_cannot_be_written_stops_changes_not_service(node):
    """The disk goes away below the agent: nothing is changed without its intent on disk."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.kubelet.add("before", MIG_1G)
    node.wait_phase("Running", "before")
    hidden = node.folder / "state.hidden"
    node.agent.state_dir.rename(hidden)
    node.agent.state_dir.write_text("not a folder")
    node.api.label("all-balanced")
    wait_until(lambda: "intent" in node.api.reason(), lambda: f"the reason: {node.api.reason()}")
    assert node.machine.profiles() == {"1g.5gb": 56}
    node.agent.state_dir.unlink()
    hidden.rename(node.agent.state_dir)
    node.kubelet.delete("before")
    node.wait_state("success", "all-balanced", seconds=60)
    node.check()
