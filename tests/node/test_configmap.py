"""Named configurations straight from a ConfigMap of the API server: --config-map NAMESPACE/NAME."""
import pytest

from harness import run, wait_until
from test_slices import GPU

LABEL = "nvidia.com/device-plugin.config"
CONFIG_REASON = "kerf.dev/config-reason"
WHERE = "/api/v1/namespaces/gpus/configmaps"
FLAGS = ["--config-map=gpus/kerf", "--mig-strategy=none"]


def sharing(replicas):
    return (f"version: v1\nsharing:\n  timeSlicing:\n    resources:\n    - name: nvidia.com/gpu\n"
            f"      replicas: {replicas}\n")


def put(node, name="kerf", **data):
    """As `kubectl apply`: another value for what is there, None takes a key away."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "gpus"},
            "data": data}
    if node.api.get(f"{WHERE}/{name}", check=False) is None:
        node.api.call("POST", WHERE, body)
    else:
        node.api.call("PATCH", f"{WHERE}/{name}", body, "application/merge-patch+json")


def trouble(node):
    return node.api.node()["metadata"].get("annotations", {}).get(CONFIG_REASON, "")


def test_the_label_chooses_among_its_keys_and_edits_count_at_once(node):
    put(node, two=sharing(2), four=sharing(4))
    put(node, name="another", two=sharing(9))
    node.api.label("two", LABEL)
    node.start(*FLAGS)
    node.wait_allocatable({GPU: 16})
    node.api.label("four", LABEL)
    node.wait_allocatable({GPU: 32})
    put(node, four=sharing(3))
    node.wait_allocatable({GPU: 24})
    put(node, name="another", four=sharing(9))
    node.api.label("two", LABEL)
    node.wait_allocatable({GPU: 16})
    assert trouble(node) == ""


def test_an_unknown_name_is_an_event_and_changes_nothing(node):
    put(node, two=sharing(2))
    node.api.label("two", LABEL)
    node.start(*FLAGS)
    node.wait_allocatable({GPU: 16})
    node.api.label("three", LABEL)
    wait_until(lambda: "'three' in gpus/kerf: there are two" in trouble(node), lambda: trouble(node))
    wait_until(lambda: any(r == "ConfigRefused" for r, _ in node.api.events()), "an Event")
    assert node.kubelet.allocatable() == {GPU: 16}
    put(node, three=sharing(3))
    node.wait_allocatable({GPU: 24})
    wait_until(lambda: trouble(node) == "", "the annotation goes")


def test_a_broken_edit_leaves_the_last_good_one_across_a_restart_and_names_key_and_line(node):
    put(node, two=sharing(2))
    node.api.label("two", LABEL)
    node.start(*FLAGS)
    node.wait_allocatable({GPU: 16})
    put(node, two="version: v1\nflags: {migStrategy: both}\n")
    wait_until(lambda: "gpus/kerf/two:2:" in trouble(node), lambda: trouble(node))
    assert node.kubelet.allocatable() == {GPU: 16}
    node.agent.restart()
    node.wait_allocatable({GPU: 16})
    wait_until(lambda: "gpus/kerf/two:2:" in trouble(node), lambda: trouble(node))
    put(node, two=sharing(5))
    node.wait_allocatable({GPU: 40})


def test_a_configmap_that_is_deleted_or_not_there_yet_is_told(node):
    node.api.label("two", LABEL)
    node.start(*FLAGS)
    wait_until(lambda: "ConfigMap gpus/kerf: there is none" in trouble(node), lambda: trouble(node))
    assert node.kubelet.allocatable() == {}, "with no good configuration yet nothing is offered"
    put(node, two=sharing(2))
    node.wait_allocatable({GPU: 16})
    wait_until(lambda: trouble(node) == "", lambda: trouble(node))
    node.api.call("DELETE", f"{WHERE}/kerf")
    wait_until(lambda: "there is none" in trouble(node), lambda: trouble(node))
    assert node.kubelet.allocatable() == {GPU: 16}
    put(node, two=sharing(3))
    node.wait_allocatable({GPU: 24})


def test_without_an_api_server_the_node_serves_what_was_there_last(node):
    put(node, two=sharing(2))
    node.api.label("two", LABEL)
    node.start(*FLAGS)
    node.wait_allocatable({GPU: 16})
    node.agent.stop()
    node.api.stop()
    node.agent.start(*FLAGS)
    node.wait_allocatable({GPU: 16})
    node.api.start()  # empty: a cluster that forgot
    node.api.create_node(**{LABEL: "two"})
    put(node, two=sharing(4))
    node.wait_allocatable({GPU: 32}, 60)


@pytest.mark.parametrize("flags,words", [
    (["--config-map=kerf"], "NAMESPACE/NAME"), (["--config-map=a/b/c"], "NAMESPACE/NAME"),
    (["--config-map=a/b", "--config-dir=/x"], "give one of them")])
def test_what_cannot_be_meant_is_refused(flags, words):
    done = run("config", "show", *flags, check=False)
    assert done.returncode != 0 and words in done.stderr
