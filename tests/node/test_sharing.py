"""Time-slicing: replicas of GPUs and slices, one way of selling at a time, files that change."""
import json
import os

import pytest

from harness import MIG_1G, TREE, run, wait_until

GPU, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"
ARTICLE = TREE / "tests/config/article"
CONFIG_REASON = "kerf.dev/config-reason"

TEN = "sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 10}]}}\n"
RENAMED = ("sharing: {timeSlicing: {renameByDefault: true, resources: [{name: nvidia.com/gpu, "
           "replicas: 2}]}}\n")
WHOLE = "version: v1\n"


class Seller:
    """Looks at every list: no device may be on sale in two ways."""

    def __init__(self, kubelet):
        self.kubelet, self.wrongs = kubelet, []
        kubelet.on_list.append(self.check)

    def check(self, resource, before, after):
        ways = {}
        for name, devices in self.kubelet.lists.items():
            for one, healthy in devices.items():
                if healthy:
                    way = name, "::" in one
                    ways.setdefault(one.split("::")[0], set()).add(way)
        self.wrongs += [f"{one} is sold as {way}" for one, way in ways.items() if len(way) > 1]


def start(make_node, text, machine="g4dn.xlarge", *flags, **kwargs):
    node = make_node(machine)
    node.file = node.folder / "config.yaml"
    node.file.write_text(text)
    node.seller = Seller(node.kubelet)
    node.start("--config-file", node.file, *flags, **kwargs)
    return node


def edit(node, text):
    """As an editor does it: a new file over the old one."""
    new = node.folder / "config.yaml.new"
    new.write_text(text)
    new.rename(node.file)


def ids(node, resource):
    """The ids in the latest list, healthy ones only."""
    return sorted(k for k, healthy in node.kubelet.lists.get(resource, {}).items() if healthy)


def annotation(node):
    return node.api.node()["metadata"].get("annotations", {}).get(CONFIG_REASON, "")


@pytest.mark.parametrize("file", ["time-slicing-1.yaml", "time-slicing-2.yaml"])
def test_the_file_of_the_article_gives_ten_pods_one_gpu_and_the_eleventh_waits(make_node, file):
    node = start(make_node, (ARTICLE / file).read_text())
    node.wait_allocatable({GPU: 10})
    pods = [f"p{i}" for i in range(10)]
    node.add_pods(*pods, resource=GPU)
    node.wait_phase("Running", *pods)
    node.kubelet.add("p10", GPU)
    assert node.kubelet.pods()["p10"]["phase"] == "Pending"
    held = node.kubelet.held()
    assert len(held) == 10 and len({one.split("::")[0] for one in held}) == 1
    assert "has no replicas: 10 of each device are offered" in node.agent.log(200)
    text = run("status", "--root", node.machine.root, "--state-dir", node.agent.state_dir)
    assert "10 of each device are offered" in text and "10 of 10 replicas held" in text, text
    node.kubelet.delete("p3")
    node.wait_phase("Running", "p10")


def test_replicas_are_renamed_by_default_when_the_file_says_so(make_node):
    node = start(make_node, RENAMED)
    node.wait_allocatable({SHARED: 2})


def test_slices_are_shared_as_well(make_node):
    node = make_node()
    file = node.folder / "config.yaml"
    file.write_text("sharing: {timeSlicing: {resources: [{name: mig-1g.5gb, replicas: 2}]}}\n")
    node.start("--config-file", file, label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 112})
    node.add_pods("a", "b")
    node.wait_phase("Running", "a", "b")
    first, second = sorted(node.kubelet.held())
    assert first.split("::")[0] != second.split("::")[0], "distributed over the GPUs"
    node.relabel("all-disabled", state="pending")
    wait_until(lambda: "default/a" in node.api.reason() and "default/b" in node.api.reason(),
               lambda: node.api.reason())
    assert set(node.machine.slices()) >= {first.split("::")[0], second.split("::")[0]}
    node.kubelet.delete("a")
    node.kubelet.delete("b")
    node.wait_state("success", "all-disabled")
    node.wait_allocatable({GPU: 8})


def test_one_node_sells_some_gpus_whole_and_some_shared(make_node):
    node = start(make_node, "kerf: {honour: [devices, rename]}\nsharing: {timeSlicing: {resources: "
                 "[{name: gpu, replicas: 4, rename: quarter, devices: [0, 3]}]}}\n", "p4d.24xlarge")
    node.wait_allocatable({GPU: 6, "nvidia.com/quarter": 8})


def test_rename_and_devices_are_dropped_and_noted_unless_honoured(make_node):
    node = start(make_node, "sharing: {timeSlicing: {resources: [{name: gpu, replicas: 4, "
                 "rename: quarter, devices: [0]}]}}\n", "p4d.24xlarge")
    node.wait_allocatable({GPU: 32})
    assert node.agent.log(200).count("dropped, as NVIDIA's plugin does") == 2


def test_a_held_gpu_keeps_its_way_until_its_pod_ends_the_others_change_at_once(make_node):
    node = start(make_node, WHOLE, "p4d.24xlarge")
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("p", GPU)
    node.wait_phase("Running", "p")
    mine = next(iter(node.kubelet.held()))
    edit(node, TEN)
    node.wait_allocatable({GPU: 70})
    assert node.kubelet.lists[GPU][mine] is False, "listed, and not on sale"
    assert not any(one.startswith(mine + "::") for one in node.kubelet.lists[GPU])
    many = [f"q{i}" for i in range(69)]
    node.add_pods(*many, resource=GPU)
    node.wait_phase("Running", *many)
    node.kubelet.delete("p")
    node.wait_allocatable({GPU: 80}, seconds=60)
    assert mine not in node.kubelet.lists[GPU]
    edit(node, RENAMED)
    wait_until(lambda: ids(node, SHARED), "the GPU without pods is sold the new way")
    for pod in many:
        node.kubelet.delete(pod)
    node.wait_allocatable({SHARED: 16}, seconds=60)
    assert node.seller.wrongs == []


def test_a_killed_agent_with_another_file_sells_nothing_that_is_held(make_node):
    node = start(make_node, TEN, "g6e.xlarge")
    node.wait_allocatable({GPU: 10})
    node.kubelet.add("p", GPU)
    node.wait_phase("Running", "p")
    node.agent.kill()
    edit(node, WHOLE)
    node.agent.start()
    wait_until(lambda: list(node.kubelet.lists.get(GPU, {}).values()) == [False],
               lambda: f"the held replica alone is listed: {node.kubelet.lists}")
    node.kubelet.delete("p")
    node.wait_allocatable({GPU: 1}, seconds=60)
    assert node.seller.wrongs == []


def test_nothing_changes_while_the_kubelet_does_not_say_what_it_hands_out(make_node):
    node = start(make_node, WHOLE)
    node.wait_allocatable({GPU: 1})
    node.kubelet.ask("hold-allocatable", on=True)
    edit(node, TEN)
    wait_until(lambda: list(node.kubelet.lists[GPU].values()) == [False], "the GPU is withdrawn")
    before = dict(node.kubelet.lists[GPU])
    node.agent.reload()
    assert node.kubelet.lists[GPU] == before
    node.kubelet.ask("hold-allocatable", on=False)
    node.wait_allocatable({GPU: 10})


def test_more_than_one_is_refused_with_a_sentence_when_the_file_says_so(make_node):
    node = start(make_node, TEN.replace("timeSlicing: {", "timeSlicing: {"
                                        "failRequestsGreaterThanOne: true, "))
    node.wait_allocatable({GPU: 10})
    node.kubelet.add("two", {GPU: 2})
    node.wait_phase("Failed", "two")
    assert "failRequestsGreaterThanOne" in node.kubelet.pods()["two"]["error"]
    node.kubelet.add("one", GPU)
    node.wait_phase("Running", "one")


@pytest.mark.parametrize("policy, gpus", [("packed", 1), ("distributed", 2), ("must-differ", 2)])
def test_two_replicas_in_one_container_are_of_the_gpus_that_the_policy_says(make_node, policy,
                                                                            gpus):
    node = start(make_node, TEN + "flags: {plugin: {sharedDevicesAllocationPolicy: %s}}\n" % policy,
                 "g7e.12xlarge")
    node.wait_allocatable({GPU: 20})
    node.kubelet.add("p", {GPU: 2})
    node.wait_phase("Running", "p")
    assert len({one.split("::")[0] for one in node.kubelet.held()}) == gpus
    if policy == "must-differ":
        node.kubelet.add("q", {GPU: 3})
        node.wait_phase("Failed", "q")
        assert "must be of different devices" in node.kubelet.pods()["q"]["error"]


def test_a_lost_gpu_takes_every_replica_and_brings_them_back(make_node):
    node = start(make_node, TEN, "g7e.12xlarge")
    node.wait_allocatable({GPU: 20})
    node.machine.sim("lose", "0")
    node.agent.reload()
    node.wait_allocatable({GPU: 10})
    node.machine.sim("lose", "0", "--back")
    node.agent.reload()
    node.wait_allocatable({GPU: 20})


def test_a_broken_file_changes_nothing_and_the_node_says_why(make_node):
    node = start(make_node, TEN)
    node.wait_allocatable({GPU: 10})
    edit(node, TEN.replace("10", "1"))
    reason = wait_until(lambda: annotation(node), "the annotation")
    assert "config.yaml:1: replicas: 1 is less than 2" in reason
    wait_until(lambda: ("ConfigRefused", reason) in node.api.events(), lambda: node.api.events())
    assert node.kubelet.allocatable() == {GPU: 10}
    assert reason in json.dumps(node.agent.status())
    node.agent.restart()
    node.wait_allocatable({GPU: 10})
    assert "the last good configuration is in force" in node.agent.log(200)
    edit(node, TEN.replace("10", "4"))
    node.wait_allocatable({GPU: 4})
    wait_until(lambda: annotation(node) == "", lambda: f"no annotation: {annotation(node)}")


def test_a_broken_file_at_the_first_start_offers_nothing_until_it_is_mended(make_node):
    node = start(make_node, "sharing: [\n")
    assert "config.yaml:" in wait_until(lambda: annotation(node), "the annotation")
    assert node.kubelet.lists == {}
    edit(node, TEN)
    node.wait_allocatable({GPU: 10})


def test_a_configmap_that_changes_by_its_link_is_read_at_once(make_node):
    """As the kubelet writes one: config.yaml -> ..data/config.yaml, ..data -> ..one."""
    node = make_node("g4dn.xlarge")
    volume = node.folder / "volume"
    for name, text in (("..one", TEN), ("..two", RENAMED)):
        (volume / name).mkdir(parents=True)
        (volume / name / "config.yaml").write_text(text)
    (volume / "..data").symlink_to("..one")
    (volume / "config.yaml").symlink_to("..data/config.yaml")
    node.start("--config-file", volume / "config.yaml")
    node.wait_allocatable({GPU: 10})
    (volume / "..tmp").symlink_to("..two")
    os.rename(volume / "..tmp", volume / "..data")
    node.wait_allocatable({SHARED: 2})


def test_an_unknown_key_is_told_and_the_file_counts(make_node):
    node = start(make_node, TEN + "falgs: {}\n")
    node.wait_allocatable({GPU: 10})
    assert "config.yaml:2: falgs: unknown key; did you mean flags?" in node.agent.log(200)
    assert "did you mean flags?" in json.dumps(node.agent.status())


def test_edits_without_end_lose_no_pod_and_sell_nothing_twice(make_node):
    node = start(make_node, TEN, "g7e.12xlarge")
    node.wait_allocatable({GPU: 20})
    held = {}
    for turn in range(24):
        edit(node, (WHOLE, TEN, RENAMED)[turn % 3])
        name = f"p{turn}"
        node.kubelet.add(name, SHARED if turn % 3 == 2 else GPU)
        if turn >= 4:
            node.kubelet.delete(f"p{turn - 4}")
        for one, pods in node.kubelet.held().items():
            held.setdefault(one.split("::")[0], []).append((turn, one, pods))
    for turn in range(20, 24):
        node.kubelet.delete(f"p{turn}")
    edit(node, TEN)
    node.wait_allocatable({GPU: 20}, seconds=60)
    assert node.seller.wrongs == []
    for device, seen in held.items():
        for turn in range(24):
            ways = {("::" in one) for t, one, _ in seen if t == turn}
            assert len(ways) < 2, f"{device} held in two ways at turn {turn}: {seen}"


PLUGIN = "nvidia.com/device-plugin.config"


def named(make_node, files, *flags, label=None):
    """A node with --config-dir; the label is there before the agent."""
    node = make_node("g4dn.xlarge")
    node.configs = node.folder / "configs"
    node.configs.mkdir()
    for name, text in files.items():
        (node.configs / name).write_text(text)
    if label:
        node.api.label(label, PLUGIN)
    node.start("--config-dir", node.configs, *flags)
    return node


def test_the_label_chooses_among_named_configs_while_pods_run(make_node):
    node = named(make_node, {"ten": TEN, "two": RENAMED, "whole": WHOLE}, label="ten")
    node.wait_allocatable({GPU: 10})
    node.kubelet.add("p", GPU)
    node.wait_phase("Running", "p")
    node.api.label("two", PLUGIN)
    wait_until(lambda: list(node.kubelet.lists[GPU].values()) == [False],
               lambda: f"the held replica alone is listed: {node.kubelet.lists}")
    assert node.kubelet.pods()["p"]["phase"] == "Running"
    node.kubelet.delete("p")
    node.wait_allocatable({SHARED: 2}, seconds=60)
    node.api.label("whole", PLUGIN)
    node.wait_allocatable({GPU: 1})


def test_a_name_that_is_not_there_is_an_event_and_changes_nothing(make_node):
    node = named(make_node, {"ten": TEN, "two": RENAMED}, label="ten")
    node.wait_allocatable({GPU: 10})
    node.api.label("eleven", PLUGIN)
    reason = wait_until(lambda: annotation(node), "the annotation")
    assert "no configuration is called 'eleven'" in reason and "two" in reason
    wait_until(lambda: ("ConfigRefused", reason) in node.api.events(), lambda: node.api.events())
    assert node.kubelet.allocatable() == {GPU: 10}
    node.api.label("ten", PLUGIN)
    wait_until(lambda: annotation(node) == "", lambda: annotation(node))


@pytest.mark.parametrize("files, flags, want", [
    ({"ten": TEN, "two": RENAMED}, ["--default-config", "two"], {SHARED: 2}),
    ({"ten": TEN, "default": RENAMED}, ["--fallback-strategies", "named,single"], {SHARED: 2}),
    ({"ten": TEN}, ["--fallback-strategies", "named,single"], {GPU: 10}),
    ({"ten": TEN, "two": RENAMED}, ["--fallback-strategies", "named,single,empty"], {GPU: 1}),
], ids=["default", "named", "single", "empty"])
def test_without_a_label_the_default_and_then_the_fallbacks_count(make_node, files, flags, want):
    node = named(make_node, files, *flags)
    node.wait_allocatable(want)


def test_a_named_config_that_comes_later_counts_when_it_is_there(make_node):
    node = named(make_node, {"ten": TEN}, label="late")
    wait_until(lambda: "'late'" in annotation(node), "the annotation")
    assert node.kubelet.lists == {}
    (node.configs / "late").write_text(RENAMED)
    node.wait_allocatable({SHARED: 2})
    node.agent.restart()
    node.wait_allocatable({SHARED: 2})
