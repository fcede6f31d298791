"""Agents and kubelets that restart, and numbers that only show over thousands of repetitions."""
import os
import statistics
import time

from harness import KERF, MIG_1G, wait_until
from test_slices import GPU, names

SANITIZED = b"__asan_init" in KERF.read_bytes() if KERF.exists() else False
RESTARTS = int(os.environ.get("KERF_RESTARTS", 1000))
ALLOCATIONS = int(os.environ.get("KERF_ALLOCATIONS", 10000))


def full_node(node, n=56):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.add_pods(*names(n))
    node.wait_phase("Running", *names(n))
    return {p: node.device(p) for p in names(n)}


def made(node):
    """Calls so far that changed the machine."""
    return node.machine.show()["calls"]["changing"]


def test_an_agent_that_restarts_finds_everything_as_it_was(node):
    devices = full_node(node, 20)
    before = node.machine.slices()
    changes = made(node)
    node.agent.restart()
    wait_until(lambda: node.agent.status().get("state") == "success", "success again")
    node.wait_allocatable({MIG_1G: 56})
    assert node.machine.slices() == before
    assert made(node) == changes, "a restart changed something"
    assert {p: node.device(p) for p in devices} == devices
    wait_until(lambda: held(node.agent.status()) == set(devices.values()), "who holds what is known")


def held(status):
    return {s["uuid"] for g in status.get("gpus", []) for s in g["slices"] if s["state"] == "held"}


def test_an_agent_killed_with_its_disk_lost_learns_holders_from_the_kubelet(node):
    devices = full_node(node, 10)
    node.agent.kill()
    for path in node.agent.state_dir.iterdir():
        path.unlink()
    node.agent.start()
    wait_until(lambda: held(node.agent.status()) == set(devices.values()), "holders are known again")
    node.api.label("all-7g.40gb")
    node.wait_state("pending", "all-7g.40gb")
    assert set(devices.values()) <= set(node.machine.slices())


def test_a_kubelet_that_restarts_again_and_again_loses_nothing(node):
    devices = full_node(node, 20)
    slices = node.machine.slices()
    node.kubelet.ask("quiet", on=True)
    rss = []
    for i in range(RESTARTS):
        node.kubelet.ask("restart")
        wait_until(lambda: node.kubelet.allocatable() == {MIG_1G: 56}, f"listed again after "
                   f"restart {i}:\n{node.agent.log()}")
        if i in (RESTARTS // 10, RESTARTS - 1):
            rss.append(node.agent.memory_kib())
    assert {p: node.device(p) for p in devices} == devices
    assert node.machine.slices() == slices
    print(f"{RESTARTS} kubelet restarts: lost 0, RSS {rss[0]} -> {rss[-1]} KiB")
    assert SANITIZED or rss[-1] - rss[0] < 512, f"RSS grew from {rss[0]} to {rss[-1]} KiB"


def test_ten_thousand_allocations(node):
    """Pods come and go on a full node; each gets a slice, none is given twice."""
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.kubelet.ask("quiet", on=True)
    first = node.kubelet.ask("churn", resource=MIG_1G, pods=ALLOCATIONS // 10)
    rss = node.agent.memory_kib()
    rest = node.kubelet.ask("churn", resource=MIG_1G, pods=ALLOCATIONS - ALLOCATIONS // 10)
    times = sorted(first["microseconds"] + rest["microseconds"])
    assert len(times) == ALLOCATIONS and first["failed"] + rest["failed"] == 0
    p50, p99 = statistics.median(times), times[len(times) * 99 // 100]
    after = node.agent.memory_kib()
    print(f"{len(times)} allocations: lost 0, p50 {p50:.0f} us, p99 {p99:.0f} us, "
          f"RSS {rss} -> {after} KiB")
    assert SANITIZED or after - rss < 512, f"RSS grew from {rss} to {after} KiB"
    assert node.agent.counts()["allocated"] == ALLOCATIONS
    wait_until(lambda: held(node.agent.status()) == set(), "ended pods hold nothing")


def test_a_lost_stream_is_opened_again(node):
    full_node(node, 5)
    for _ in range(20):
        node.kubelet.ask("drop-stream", resource=MIG_1G)
        node.wait_allocatable({MIG_1G: 56})
    assert len(node.kubelet.held()) == 5


def test_a_kubelet_that_starts_after_the_agent_is_found(make_node):
    node = make_node()
    node.kubelet.stop()
    node.start(label="all-1g.5gb")
    node.kubelet.start()
    node.wait_allocatable({MIG_1G: 56})


def test_our_socket_deleted_is_made_again(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    for path in node.kubelet.dir.glob("kerf-*.sock"):
        path.unlink()
    wait_until(lambda: list(node.kubelet.dir.glob("kerf-*.sock")), "a new socket")
    node.wait_allocatable({GPU: 8})
    node.kubelet.add("p", {GPU: 1})
    node.wait_phase("Running", "p")


def test_a_second_agent_on_the_same_state_is_refused(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    import subprocess
    second = subprocess.run([str(w) for w in node.agent.command()], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=30)
    assert second.returncode != 0 and str(node.agent.state_dir) in second.stderr
    assert node.agent.alive()


def test_the_agent_ends_at_once_and_leaves_pods_and_slices(node):
    devices = full_node(node, 3)
    begin = time.monotonic()
    node.agent.stop()
    assert time.monotonic() - begin < 5
    assert set(devices.values()) <= set(node.machine.slices())
    assert list(node.kubelet.dir.glob("kerf-*.sock")) == []
