"""From a label to pods on slices; what is offered under which name."""
import json

from harness import MIG_1G, wait_until

BALANCED = {MIG_1G: 16, "nvidia.com/mig-2g.10gb": 8, "nvidia.com/mig-3g.20gb": 8}
GPU = "nvidia.com/gpu"


def names(n, prefix="p"):
    return [f"{prefix}{i}" for i in range(n)]


def test_56_pods_get_56_different_slices_and_the_57th_waits(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.add_pods(*names(57))
    node.wait_phase("Running", *names(56))
    pods = node.kubelet.pods()
    assert pods["p56"]["phase"] == "Pending"
    devices = {node.device(p) for p in names(56)}
    assert len(devices) == 56 and devices == set(node.machine.slices())
    node.kubelet.delete("p10")
    node.wait_phase("Running", "p56")
    assert node.device("p56") not in {node.device(p) for p in names(56) if p != "p10"}


def test_pods_are_spread_over_the_gpus(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.add_pods(*names(8))
    node.wait_phase("Running", *names(8))
    slices = node.machine.slices()
    assert sorted(slices[node.device(p)][0] for p in names(8)) == list(range(8))


def test_a_container_is_given_its_slice_by_cdi_name_and_nothing_else(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.kubelet.add("one", {MIG_1G: 1})
    node.wait_phase("Running", "one")
    answer = node.kubelet.pods()["one"]["answers"][0]
    assert [name.split("=")[1] for name in answer["cdi"]] == [node.device("one")]
    spec = json.loads(next(node.agent.cdi_dir.glob("*.json")).read_text())
    assert "NVIDIA_VISIBLE_DEVICES=void" in spec["containerEdits"]["env"]
    assert answer["envs"] == {"KERF_DEVICES": node.device("one")}
    assert answer["device_nodes"] == [] and answer["mounts"] == []


def test_two_slices_in_one_container_are_two_devices(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.kubelet.add("two", {MIG_1G: 2})
    node.wait_phase("Running", "two")
    devices = {i for ids in node.kubelet.pods()["two"]["devices"].values() for i in ids}
    assert len(devices) == 2
    answer = node.kubelet.pods()["two"]["answers"][0]
    assert {name.split("=")[1] for name in answer["cdi"]} == devices


def test_none_offers_whole_gpus(node):
    node.start("--mig-strategy", "none")
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("p", {GPU: 1})
    node.wait_phase("Running", "p")
    assert node.device("p").startswith("GPU-")


def test_single_offers_slices_as_gpus(node):
    node.start("--mig-strategy", "single", label="all-1g.5gb")
    node.wait_allocatable({GPU: 56})
    node.kubelet.add("p", {GPU: 1})
    node.wait_phase("Running", "p")
    assert node.device("p") in node.machine.slices()


def test_single_holds_back_slices_of_several_profiles_and_says_so(node):
    node.start("--mig-strategy", "single", label="all-balanced")
    wait_until(lambda: node.agent.status().get("warning"), "a warning in the status")
    assert node.kubelet.allocatable() == {}


def test_mixed_offers_each_profile_and_whole_gpus(make_node):
    node = make_node()
    config = node.folder / "mig.yaml"
    config.write_text("""
version: v1
mig-configs:
  half:
    - devices: [0, 1, 2, 3]
      mig-enabled: false
    - devices: [4, 5, 6, 7]
      mig-enabled: true
      mig-devices: {3g.20gb: 2}
""")
    node.start("--mig-config", config, label="half")
    node.wait_allocatable({GPU: 4, "nvidia.com/mig-3g.20gb": 8})


def test_all_balanced_offers_three_resources(node):
    node.start(label="all-balanced")
    node.wait_allocatable(BALANCED)


def test_a_slice_under_two_names_is_given_to_one_pod_only(node):
    node.start("--mig-strategy", "single", "--single-alias", label="all-1g.5gb")
    node.wait_allocatable({GPU: 56, MIG_1G: 56})
    for i in range(56):
        node.kubelet.add(f"a{i}", {GPU: 1}, wait=False)
        node.kubelet.add(f"b{i}", {MIG_1G: 1}, wait=False)

    def refused():
        """What the agent refused; on a slow machine a list may change under a call, which the
        kubelet then fails by itself."""
        failed = [pod["error"] for pod in node.kubelet.pods().values() if pod["phase"] == "Failed"]
        return [error for error in failed if "cannot be given as" in error]
    wait_until(lambda: len(node.kubelet.held()) == 56, lambda: f"{len(node.kubelet.held())} of 56")
    # What one name has taken becomes Unhealthy under the other; after that nobody tries any more.
    wait_until(lambda: all(not node.kubelet.lists[GPU][i] or not node.kubelet.lists[MIG_1G][i]
                           for i in node.kubelet.held()), "taken slices Unhealthy")
    wait_until(lambda: node.agent.counts()["refused"] == len(refused()),
               lambda: f"refusals agree: {node.agent.counts()}, {node.kubelet.pods()}")
    twice = sum(len(pods) > 1 for pods in node.kubelet.held().values())
    print(f"56 + 56 pods at once: slices held {len(node.kubelet.held())}, double use {twice}, "
          f"refused {len(refused())}")
    assert twice == 0


def test_only_root_may_speak_to_the_plugin_and_only_root_sees_its_socket(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    sockets = list(node.kubelet.dir.glob("kerf-*.sock"))
    assert sockets and all(s.stat().st_mode & 0o777 == 0o600 for s in sockets)


def test_several_whole_gpus_are_those_that_share_a_switch_even_while_another_is_lost(make_node):
    node = make_node("p4d.24xlarge")
    node.start()
    node.wait_allocatable({"nvidia.com/gpu": 8})
    gpus = {g["uuid"]: g for g in node.machine.show()["gpus"]}
    order = list(gpus)
    node.kubelet.add("one", {"nvidia.com/gpu": 1})
    node.wait_phase("Running", "one")
    node.kubelet.add("two", {"nvidia.com/gpu": 2})
    node.wait_phase("Running", "two")
    first = order.index(node.kubelet.pods()["one"]["devices"]["nvidia.com/gpu"][0])
    pair = sorted(order.index(i) for i in node.kubelet.pods()["two"]["devices"]["nvidia.com/gpu"])
    assert pair[0] // 2 == pair[1] // 2 and first not in pair, (first, pair)
    lost = next(i for i in range(8) if i not in (first, *pair))
    node.machine.sim("lose", str(lost))
    node.wait_allocatable({"nvidia.com/gpu": 7})
    node.kubelet.add("more", {"nvidia.com/gpu": 2})
    node.wait_phase("Running", "more")
    more = sorted(order.index(i) for i in node.kubelet.pods()["more"]["devices"]["nvidia.com/gpu"])
    assert more[0] // 2 == more[1] // 2 and lost not in more, more
