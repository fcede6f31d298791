"""Ten thousand labels, configurations and health events in a row leave the agent's memory flat.

KERF_FLAT_EVENTS says how many in all; the figures are printed.
"""
import os
import time

from harness import KERF, wait_until

GPU = "nvidia.com/gpu"
SANITIZED = b"__asan_init" in KERF.read_bytes() if KERF.exists() else False
EVENTS = int(os.environ.get("KERF_FLAT_EVENTS", 10000))


def shared(replicas):
    return (f"version: v1\nsharing: {{timeSlicing: {{resources: [{{name: nvidia.com/gpu, "
            f"replicas: {replicas}}}]}}}}\n")


def waits(node):
    return node.machine.show()["calls"]["by_name"].get("nvmlEventSetWait_v2", 0)


def labels(node, n):
    """Of MIG configurations that do not exist: each is refused, and the Node told why."""
    for i in range(n):
        node.api.label(f"no-such-{i}")
    node.wait_state("failed", f"no-such-{n - 1}")


def configs(node, n):
    """Each is in force before the next is written.  More replicas come at once, fewer wait for the
    kubelet's word, so mostly they grow; in the end they are as at the start."""
    for i in range(n):
        replicas = 2 if i == n - 1 else 3 + i % 20
        (node.folder / "new").write_text(shared(replicas))
        (node.folder / "new").rename(node.folder / "config.yaml")
        wait_until(lambda: len(node.kubelet.lists[GPU]) == 8 * replicas, "the list of the file")


def health(node, n):
    """Every second is an application's own XID, the others take a GPU for a moment."""
    for i in range(0, n, 100):
        before = waits(node)
        node.machine.sim("xid", i // 100 % 8, 31 if i // 100 % 2 else 119, "--times", 100)
        wait_until(lambda: waits(node) >= before + 100, "a hundred events are taken")


def storm(node, n):
    began = time.monotonic()
    labels(node, n * 50 // 100)
    configs(node, n * 5 // 100)
    health(node, n * 45 // 100)
    return time.monotonic() - began


def test_ten_thousand_events_of_three_kinds_leave_the_memory_flat(node):
    (node.folder / "config.yaml").write_text(shared(2))
    node.start("--config-file", node.folder / "config.yaml", "--log-level", "warn")
    node.wait_allocatable({GPU: 16})
    wait_until(lambda: waits(node) > 0, "the agent listens")
    storm(node, max(1000, EVENTS // 10))
    before = {f: node.agent.memory_kib(f) for f in ("Rss", "Anonymous")}
    took = storm(node, EVENTS)
    after = {f: node.agent.memory_kib(f) for f in ("Rss", "Anonymous")}
    print(f"{EVENTS} events (labels, configurations, health) in {took:.0f} s: RSS {before['Rss']} -> "
          f"{after['Rss']} KiB, anonymous {before['Anonymous']} -> {after['Anonymous']} KiB")
    assert SANITIZED or after["Rss"] - before["Rss"] < 256
    assert SANITIZED or after["Anonymous"] - before["Anonymous"] < 256
