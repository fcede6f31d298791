"""Speed and size of the agent: 8 GPUs x 7 slices, TLS to the API server; limits from the issue.

Prints one JSON row a line for tools/bench.  KERF_IDLE_S [60] is how long the idle agent is watched.
"""
import json
import os
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from harness import MIG_1G, Node, wait_until  # noqa: E402

STARTS, ALLOCATIONS = 20, 10000
IDLE_S = float(os.environ.get("KERF_IDLE_S", 60))


def row(what, value, unit, limit=None, note=""):
    out = {"what": what, "value": round(value, 3), "unit": unit, "note": note}
    if limit is not None:
        out["limit"] = limit
    print(json.dumps(out), flush=True)


def at_event(node, wanted, begin):
    """Milliseconds from `begin` to the first event of the kubelet that is wanted."""
    event = wait_until(lambda: next((e for e in list(node.kubelet.events) if wanted(e)), None),
                       lambda: f"an event\n{node.agent.log()}")
    return (event["at"] - begin) * 1000


def starts(node):
    """From exec to the kubelet's answer to Register, and to the list with all 56."""
    registered, listed = [], []
    for _ in range(STARTS):
        node.agent.stop()
        wait_until(lambda: not node.kubelet.allocatable(), "the kubelet notices")
        node.kubelet.events.clear()
        begin = time.monotonic()
        node.agent.start()
        registered.append(at_event(node, lambda e: e["event"] == "registered", begin))
        listed.append(at_event(node, lambda e: e["event"] == "list" and len(e["devices"]) == 56,
                               begin))
    row("start to registered with the kubelet, median", statistics.median(registered), "ms", 50,
        f"{STARTS} starts")
    row("start to registered with the kubelet, max", max(registered), "ms", 50)
    row("start to all 56 slices listed, median", statistics.median(listed), "ms")


def driver_ms(node, offset):
    """What the driver took for the steps logged since."""
    with open(node.agent.log_path, errors="replace") as log:
        log.seek(offset)
        return sum(int(us) for us in re.findall(r"done in (\d+) us", log.read())) / 1000


def change(node, label, resource, n):
    """From the label's PATCH to the list with n healthy devices, less the driver's time."""
    time.sleep(0.5)  # beyond the time in which changes of one list are taken together
    offset = node.agent.log_path.stat().st_size
    node.kubelet.events.clear()
    begin = time.monotonic()
    node.api.label(label)
    total = at_event(node, lambda e: e["event"] == "list" and e["resource"] == resource
                     and sum(d["healthy"] for d in e["devices"]) == n, begin)
    node.wait_state("success", label)
    return total - driver_ms(node, offset)


def changes(node):
    create, withdraw = [], []
    for _ in range(10):
        node.relabel("all-enabled")
        create.append(change(node, "all-1g.5gb", MIG_1G, 56))
        withdraw.append(change(node, "all-7g.40gb", "nvidia.com/mig-7g.40gb", 8))
    note = "beyond the driver's time; from the label's PATCH"
    row("label to new list, nothing to withdraw, median", statistics.median(create), "ms", 50, note)
    row("label to new list, nothing to withdraw, max", max(create), "ms", 50)
    row("label to new list, 56 slices withdrawn, median", statistics.median(withdraw), "ms", None,
        note)
    row("label to new list, 56 slices withdrawn, max", max(withdraw), "ms")


def allocations(node):
    answer = node.kubelet.ask("churn", resource=MIG_1G, pods=ALLOCATIONS)
    times = sorted(answer["microseconds"])
    assert len(times) == ALLOCATIONS and answer["failed"] == 0, answer["failed"]
    row("Allocate, p50", statistics.median(times) / 1000, "ms", None, f"{ALLOCATIONS} calls")
    row("Allocate, p99", times[len(times) * 99 // 100] / 1000, "ms", 1)


def size(node, when):
    row(f"RSS, {when}", node.agent.memory_kib("Rss") / 1024, "MiB", 14,
        "without a real driver's 18.7; NVIDIA's four: 164 MiB")
    row(f"anonymous memory, {when}", node.agent.memory_kib("Anonymous") / 1024, "MiB", 4)


def used(pid):
    """Nanoseconds on a processor, and times it gave one up by itself, over all threads."""
    ns = switches = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        ns += int((task / "schedstat").read_text().split()[0])
        switches += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                                  (task / "status").read_text(), re.M).group(1))
    return ns, switches


def idle(node):
    time.sleep(3)
    ns, switches = used(node.agent.process.pid)
    begin = time.monotonic()
    time.sleep(IDLE_S)
    seconds = time.monotonic() - begin
    ns2, switches2 = used(node.agent.process.pid)
    row("idle, share of a core", (ns2 - ns) / seconds / 1e7, "%", 0.1, f"{seconds:.0f} s")
    row("idle, wake-ups a minute", (switches2 - switches) / seconds * 60, "")


def main():
    node = Node("p4d.24xlarge", tls=True)
    try:
        node.start(label="all-1g.5gb")
        node.wait_allocatable({MIG_1G: 56})
        starts(node)
        node.wait_state("success")
        node.wait_allocatable({MIG_1G: 56})
        size(node, "56 slices offered")
        idle(node)
        changes(node)
        node.relabel("all-1g.5gb")
        node.wait_allocatable({MIG_1G: 56})
        allocations(node)
        size(node, f"after {ALLOCATIONS} allocations")
    finally:
        node.close()


if __name__ == "__main__":
    main()
