"""How a slice is taken away without a pod on it, and what happens to an Allocate meanwhile."""
import threading

from harness import MIG_1G, wait_until
from test_slices import BALANCED, names

DESTROY = "nvmlGpuInstanceDestroy"


def test_an_allocate_during_a_withdrawal_cancels_it(node):
    """The kubelet answers GetAllocatableResources late: the pod comes first, and stays."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.kubelet.ask("hold-allocatable", on=True)
    node.api.label("all-7g.40gb")
    wait_until(lambda: not any(node.kubelet.lists[MIG_1G].values()), "all are marked Unhealthy")
    victim = sorted(node.kubelet.lists[MIG_1G])[0]
    # A kubelet that has chosen before it read the list.
    node.kubelet.add("late", {MIG_1G: 1}, force=[victim])
    node.wait_phase("Running", "late")
    assert node.device("late") == victim
    assert node.agent.counts()["withdrawalsCancelled"] >= 1
    node.kubelet.ask("hold-allocatable", on=False)
    wait_until(lambda: node.machine.profiles().get("7g.40gb") == 7, "the other GPUs go on")
    node.wait_state("pending", "all-7g.40gb")
    assert victim in node.machine.slices()
    wait_until(lambda: "default/late" in node.api.reason(), lambda: node.api.reason())
    node.kubelet.delete("late")
    node.wait_state("success")


def test_an_allocate_during_destruction_is_refused_with_the_reason(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.machine.fault(DESTROY, "SUCCESS", "--delay", 150)
    node.api.label("all-7g.40gb")
    wait_until(lambda: len(node.machine.slices()) < 56, "destruction has begun")
    victim = sorted(set(node.kubelet.lists[MIG_1G]) & set(node.machine.slices()))[0]
    node.kubelet.add("late", {MIG_1G: 1}, force=[victim])
    node.wait_phase("Failed", "late")
    error = node.kubelet.pods()["late"]["error"]
    assert "is being destroyed for MIG configuration all-7g.40gb" in error, error
    node.machine.fault(DESTROY, "--clear")
    node.wait_state("success", seconds=60)
    assert node.agent.counts()["refusedWithdrawn"] == 1
    assert node.agent.counts()["refused"] == 1


def test_an_id_leaves_the_list_only_when_its_slice_is_gone(node):
    """Checked at each list message by the harness; here with a driver slow enough to see it."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.machine.fault(DESTROY, "SUCCESS", "--delay", 20)
    node.relabel("all-balanced")
    node.wait_allocatable(BALANCED)
    node.check()


def test_without_podresources_nothing_is_withdrawn(node):
    node.start(label="all-1g.5gb")
    node.agent.stop()
    node.start("--pod-resources", node.folder / "nobody.sock")
    node.wait_allocatable({MIG_1G: 56})
    node.api.label("all-7g.40gb")
    node.wait_state("pending", "all-7g.40gb")
    wait_until(lambda: "PodResources" in node.api.reason(), lambda: f"why: {node.api.reason()}")
    assert len(node.machine.slices()) == 56
    assert node.kubelet.allocatable() == {MIG_1G: 56}, "what cannot be withdrawn stays on offer"


class Churn:
    """Pods that come and go, up to five at a time, from a thread of its own."""

    def __init__(self, node):
        self.node, self.n, self.failed = node, 0, None
        self.ending = threading.Event()
        self.thread = None

    def __enter__(self):
        self.ending.clear()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        for i in range(max(0, self.n - 5), self.n):
            self.node.kubelet.delete(f"c{i}")
        assert self.failed is None, self.failed

    def _run(self):
        try:
            while not self.ending.is_set():
                self.node.kubelet.add(f"c{self.n}", {MIG_1G: 1})
                self.n += 1
                if self.n > 5:
                    self.check(f"c{self.n - 6}")
                    self.node.kubelet.delete(f"c{self.n - 6}")
                self.ending.wait(0.01)
        except Exception as error:  # shown by the test's own thread
            self.failed = error

    def check(self, name):
        pod = self.node.kubelet.pods().get(name, {"phase": "Pending"})
        assert pod["phase"] != "Failed" or "destroyed" in pod["error"], pod


def test_pods_that_come_and_go_during_changes_never_meet_a_missing_slice(node):
    """Admissions race with withdrawals: an admitted pod's slice is there, a refused one says why."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    churn = Churn(node)
    for config in ("all-balanced", "all-1g.5gb", "all-2g.10gb", "all-balanced") * 2:
        with churn:
            node.api.label(config)
            wait_until(lambda: node.agent.status().get("config") == config, "the label is seen")
            for _ in range(8):
                node.check()
        node.wait_state("success", config)
        node.check()
    print(f"{churn.n} pods during 8 changes: {node.agent.counts()}")


def test_many_small_changes_lose_no_pod(node):
    """Ten pods stay through twenty relabels; their slices are the same at the end."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.add_pods(*names(10))
    node.wait_phase("Running", *names(10))
    mine = {p: node.device(p) for p in names(10)}
    before = node.machine.slices()
    for i in range(20):
        node.api.label(("all-balanced", "all-3g.20gb", "all-2g.10gb", "all-1g.5gb")[i % 4])
        wait_until(lambda: node.api.get_label() in ("pending", "success"), "an answer")
        node.check()
    node.relabel("all-1g.5gb")
    after = node.machine.slices()
    assert all(after[i] == before[i] for i in mine.values())
    assert {p: node.device(p) for p in names(10)} == mine
