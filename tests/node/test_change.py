"""A second label changes the node without disturbing a running pod."""
from harness import CONFIG, MIG_1G, wait_until
from test_slices import BALANCED, names


def fill_and_thin(node, *flags):
    """All-1g.5gb with ten pods: the seven of one GPU, and three of another; names of the seven."""
    node.start(*flags, label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.add_pods(*names(56))
    node.wait_phase("Running", *names(56))
    slices = node.machine.slices()
    by_gpu = {}
    for p in names(56):
        by_gpu.setdefault(slices[node.device(p)][0], []).append(p)
    full, other = sorted(by_gpu)[:2]
    keep = by_gpu[full] + by_gpu[other][:3]
    for p in names(56):
        if p not in keep:
            node.kubelet.delete(p)
    wait_until(lambda: len(node.kubelet.held()) == 10, "ten pods are left")
    return by_gpu[full], by_gpu[other][:3]


def named(text, pods):
    words = set(text.replace(",", " ").replace("/", " ").replace(";", " ").split())
    return sorted(set(pods) & words)


def test_running_pods_keep_their_slices_and_the_rest_follows(node):
    full, other = fill_and_thin(node)
    kept_ids = {p: node.device(p) for p in full + other}
    before = node.machine.slices()
    absent = []

    def watch(resource, old, new):
        held = node_held["now"]
        absent.extend(i for i in held if resource == MIG_1G and i not in new)
    node_held = {"now": set(kept_ids.values())}
    node.kubelet.on_list.append(watch)

    node.api.label("all-balanced")
    node.wait_state("pending", "all-balanced")
    # Six GPUs are free and change at once; the seventh's three pods may stay or be in the way.
    wait_until(lambda: node.kubelet.allocatable().get("nvidia.com/mig-3g.20gb", 0) >= 6,
               lambda: f"free GPUs follow: {node.kubelet.allocatable()}")
    blocking = wait_until(lambda: named(node.api.reason(), kept_ids), "pods named in the annotation")
    assert len(set(blocking) & set(full)) == 5, (blocking, full)
    wait_until(lambda: any(named(note, kept_ids) == blocking for _, note in node.api.events()),
               lambda: f"an Event that names {blocking}: {node.api.events()}")
    assert {p: node.device(p) for p in kept_ids} == kept_ids
    assert absent == [], "a held slice left the list"

    for i, pod in enumerate(blocking):
        node_held["now"].discard(kept_ids[pod])
        node.kubelet.delete(pod)
        if i + 1 < len(blocking):
            wait_until(lambda: named(node.api.reason(), blocking[:i + 1]) == [],
                       lambda: f"an ended pod is named no more: {node.api.reason()}")
            assert node.api.get_label() == "pending"
    node.wait_state("success")
    node.wait_allocatable(BALANCED)
    assert node.api.reason() == ""
    kept = [p for p in kept_ids if p not in blocking]
    after = node.machine.slices()
    assert all(after[kept_ids[p]] == before[kept_ids[p]] for p in kept), "a kept slice was remade"
    assert absent == []


def test_a_config_that_is_there_already_changes_nothing(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    before, changes = node.machine.slices(), node.agent.counts()["changes"]
    node.api.label(None)
    wait_until(lambda: node.agent.status().get("config", "") == "", "no config is selected")
    node.relabel("all-1g.5gb")
    assert node.machine.slices() == before
    assert node.agent.counts()["changes"] == changes


def test_slices_that_both_configs_have_stay_listed(node):
    """all-1g.5gb to all-balanced and back: two 1g of each GPU are never touched."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    first = node.machine.slices()
    node.relabel("all-balanced")
    node.wait_allocatable(BALANCED)
    stay = {i for i, where in node.machine.slices().items() if first.get(i) == where}
    assert len(stay) == 16
    gone = []
    node.kubelet.on_list.append(lambda resource, old, new: gone.extend(
        i for i in stay if resource == MIG_1G and i not in new))
    node.relabel("all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    assert all(node.machine.slices()[i] == first[i] for i in stay)
    assert gone == []


def test_labels_that_change_faster_than_the_driver_end_at_the_last(node):
    node.start(label="all-1g.5gb")
    for i in range(12):
        node.api.label(("all-balanced", "all-2g.10gb", "all-1g.5gb", "all-3g.20gb")[i % 4])
    node.relabel("all-2g.10gb")
    node.wait_allocatable({"nvidia.com/mig-2g.10gb": 24})


def test_a_pod_that_takes_a_slice_while_another_waits_is_respected(node):
    """Back to the old label while it is pending: the withdrawn slices are offered again."""
    full, other = fill_and_thin(node)
    node.api.label("all-7g.40gb")
    node.wait_state("pending", "all-7g.40gb")
    node.relabel("all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    assert len(node.kubelet.held()) == 10


def test_evict_asks_for_the_pods_in_the_way_and_heeds_the_budget(node):
    full, other = fill_and_thin(node, "--when-blocked", "evict")
    for p in full + other:
        node.api.add_pod(p)
    node.api.trouble("budget", allowed=2)
    node.api.label("all-balanced")
    wait_until(lambda: len(ended(node, full + other)) == 2, "two evictions within the budget")
    node.wait_state("pending", "all-balanced")
    wait_until(lambda: "disruption budget" in node.agent.log(200), "the budget's refusal in the log")
    assert len(ended(node, full + other)) == 2
    node.api.trouble("budget", allowed=-1)

    def follow():
        for p in ended(node, full + other):
            if p in node.kubelet.pods():
                node.kubelet.delete(p)
        return node.api.get_label() == "success"
    wait_until(follow, lambda: f"success after the evictions: {node.api.reason()}", 40)
    node.wait_allocatable(BALANCED)
    assert len(ended(node, full)) == 5, "pods on slices that stay are left alone"


def test_nobody_is_evicted_for_a_label_that_is_gone(node):
    """The list of pods comes late, and after it the label went back; the driver is slow besides."""
    full, other = fill_and_thin(node, "--when-blocked", "evict")
    for p in full + other:
        node.api.add_pod(p)
    node.machine.fault("nvmlDeviceGetCount_v2", "--delay", 2500)
    node.api.trouble("fault", method="GET", path="/api/v1/pods", delayMs=1500)
    node.api.label("all-7g.40gb")
    wait_until(lambda: "waiting for pod" in node.agent.status().get("reason", ""), "it waits")
    node.agent.reload()  # reads the GPUs, so that no plan is made for a while
    node.api.label("all-1g.5gb")
    wait_until(lambda: node.agent.status().get("config") == "all-1g.5gb", "the label is seen")
    node.machine.fault("nvmlDeviceGetCount_v2", "--clear")
    node.wait_state("success", "all-1g.5gb")
    assert ended(node, full + other) == []


def ended(node, pods):
    """Pods that the API server was asked to end."""
    gone = []
    for p in pods:
        pod = node.api.pod(p)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            gone.append(p)
    return gone


def test_a_process_on_a_slice_holds_it_like_a_pod(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    gpu = node.machine.show()["gpus"][0]
    gi = gpu["instances"][-1]
    node.machine.sim("process", "add", "--gpu", 0, "--gi", gi["id"], "--ci", 0, "--pid", 4121,
                     "--memory", 100)
    node.api.label("all-7g.40gb")
    node.wait_state("pending", "all-7g.40gb")
    wait_until(lambda: "4121" in node.api.reason(), lambda: f"pid named: {node.api.reason()}")
    wait_until(lambda: node.machine.profiles().get("7g.40gb") == 7, "the other GPUs go on")
    assert gi["compute"][0]["uuid"] in node.machine.slices()
    node.machine.sim("process", "remove", "--pid", 4121)
    node.wait_state("success")
    node.wait_allocatable({"nvidia.com/mig-7g.40gb": 8})


def test_the_label_taken_away_leaves_everything_as_it_is(node):
    node.start(label="all-balanced")
    node.wait_allocatable(BALANCED)
    before = node.machine.slices()
    node.api.label(None)
    wait_until(lambda: not node.agent.status().get("config"), "no config is selected")
    assert node.machine.slices() == before
    assert node.api.get_label(CONFIG) is None
    node.wait_allocatable(BALANCED)
