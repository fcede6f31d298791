"""Speed and size of metrics: p5.48xlarge cut in 8 x 7 slices, a busy pod on each, scraped.

Prints one JSON row a line for tools/bench.  KERF_SCRAPES [100000] are looked at for growth.
"""
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "metrics"))
from support import Client, address, fresh, instance_of, load  # noqa: E402

from bench_agent import Node, row, used, wait_until  # noqa: E402

SCRAPES = int(os.environ.get("KERF_SCRAPES", 100000))
MIG_1G = "nvidia.com/mig-1g.10gb"


def times(client, n, **headers):
    """Milliseconds, sorted; what Python needs for a request is in them."""
    took = []
    for _ in range(n):
        begin = time.perf_counter()
        assert client.get(**headers).status == 200
        took.append((time.perf_counter() - begin) * 1000)
    return sorted(took)


def quantile(took, q):
    return took[min(len(took) - 1, int(len(took) * q))]


def sizes(node, when, limit=16):
    row(f"RSS with metrics, {when}", node.agent.memory_kib("Rss") / 1024, "MiB", limit,
        "without a real driver's 18.7; dcgm-exporter: 200 to 500 MiB")
    row(f"anonymous memory with metrics, {when}", node.agent.memory_kib("Anonymous") / 1024, "MiB",
        6)


def fill(node):
    names = [f"pod-{i}" for i in range(56)]
    for name in names:
        node.kubelet.add(name, MIG_1G)
    node.wait_phase("Running", *names)
    for i, name in enumerate(names):
        gpu, gi = instance_of(node, node.device(name))
        load(node, 100000 + i, gpu, gi=gi, sm=i, memory=100 + i, pod=name)


def measuring(node, client):
    """What reading costs: a share of a core while somebody scrapes every 5 s."""
    ns, _ = used(node.agent.process.pid)
    begin = time.monotonic()
    for _ in range(4):
        time.sleep(5)
        client.get()
    ns2, _ = used(node.agent.process.pid)
    row("readings every second and a scrape every 5 s, share of a core",
        (ns2 - ns) / (time.monotonic() - begin) / 1e7, "%")


def growth(node, client):
    times(client, 2000)
    before = node.agent.memory_kib("Anonymous"), node.agent.memory_kib("Rss")
    took = times(client, SCRAPES, Accept_Encoding="gzip")
    after = node.agent.memory_kib("Anonymous"), node.agent.memory_kib("Rss")
    row("scrape of 56 pods, gzip, p50", quantile(took, .5), "ms", None, f"{SCRAPES} scrapes")
    row("scrape of 56 pods, gzip, p99", quantile(took, .99), "ms", 5)
    row("anonymous memory grown by these scrapes", after[0] - before[0], "KiB", 256,
        "16 bytes a scrape would be 1600")
    row("RSS grown by these scrapes", after[1] - before[1], "KiB", 256)


def slow_driver(node, client):
    node.machine.fault("all", "SUCCESS", "--delay", 500)
    seen = node.machine.show()["calls"]
    wait_until(lambda: node.machine.show()["calls"] != seen, "calls are slow by now")
    took = times(client, 2000)
    row("scrape while every driver call takes 500 ms, p99", quantile(took, .99), "ms", 10)
    node.machine.fault("all", "--clear")


def main():
    node = Node("p5.48xlarge", tls=True)
    try:
        node.start("--metrics-listen", "127.0.0.1:0", label="all-1g.10gb")
        node.wait_allocatable({MIG_1G: 56})
        client = Client(address(node))
        fill(node)
        scrape = fresh(client, lambda s: len(s.get("kerf_pod_sm_utilization_ratio")) == 56)
        row("text of a scrape", len(scrape.text) / 1024, "KiB")
        took = times(client, 2000)
        row("scrape of 56 pods, p50", quantile(took, .5), "ms")
        row("scrape of 56 pods, p99", quantile(took, .99), "ms", 5)
        sizes(node, "56 pods")
        measuring(node, client)
        client = Client(address(node))
        growth(node, client)
        sizes(node, f"after {SCRAPES} scrapes")
        slow_driver(node, client)
    finally:
        node.close()


if __name__ == "__main__":
    main()
