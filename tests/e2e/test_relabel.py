"""A second label changes the node without disturbing a running pod."""
import re
import time

import pytest

from cluster import MIG_CONFIG, containers, is_ready, wait_for
from pods import given, pod

BALANCED = {"nvidia.com/mig-1g.5gb": 16, "nvidia.com/mig-2g.10gb": 8, "nvidia.com/mig-3g.20gb": 8}


def fill_and_thin(cluster, agent, *flags):
    """All-1g.5gb with ten pods: seven that fill one GPU, three on another.  Their reports by name."""
    agent.start("--mig-strategy", "mixed", *flags)
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 56})
    cluster.create(*[pod(f"p{i}", "mig-1g.5gb", labels={"app": f"p{i}"}) for i in range(56)])
    cluster.wait_phases({"Running": 56}, seconds=180)
    by_gpu = {}
    for i in range(56):
        report = given(cluster, f"p{i}")
        by_gpu.setdefault(report.gpus[0], {})[f"p{i}"] = report
    full, other = sorted(by_gpu)[:2]
    kept = dict(by_gpu[full])
    kept.update(list(by_gpu[other].items())[:3])
    cluster.delete_pods(*[f"p{i}" for i in range(56) if f"p{i}" not in kept])
    return kept, list(by_gpu[full])


def named_in(text, names):
    return sorted(set(names) & set(re.findall(r"[\w-]+", text)))


def wait_partial(cluster, gpus=6):
    """So many GPUs, those without pods, are as asked."""
    wait_for(lambda: f"free GPUs follow at once: {cluster.allocatable()}",
             lambda: cluster.allocatable().get("nvidia.com/mig-3g.20gb", 0) >= gpus
             and cluster.allocatable().get("nvidia.com/mig-2g.10gb", 0) >= gpus, 60)


def test_running_pods_keep_their_slices_and_the_rest_follows(cluster, agent):
    reports, full = fill_and_thin(cluster, agent)
    before = {name: containers(p) for name, p in cluster.pods().items()}
    since = cluster.now()

    cluster.label(MIG_CONFIG, "all-balanced")
    cluster.wait_state("pending")
    wait_partial(cluster)
    # Two slices of the full GPU can stay; the pods on the other five are named.
    # (A pod that came a moment ago is one "that the kubelet does not name yet".)
    wait_for(lambda: f"a reason that names five pods of {full}: {cluster.reason()}",
             lambda: len(named_in(cluster.reason(), full)) == 5)
    blocking = named_in(cluster.reason(), reports)
    wait_for(lambda: f"an Event that names {blocking}: {cluster.events(since)}",
             lambda: any(named_in(m, reports) == blocking for _, m in cluster.events(since)))

    # In the middle of it: the agent dies, the kubelet restarts, the agent dies again.
    agent.kill()
    agent.start()
    cluster.restart_kubelet()
    agent.kill()
    agent.start()
    cluster.wait_registered("nvidia.com/mig-1g.5gb")
    cluster.wait_state("pending")
    after = {name: containers(p) for name, p in cluster.pods().items()}
    assert after == before, "a container was replaced"

    # Capacity follows as they end.
    # (Until the new kubelet's PodResources answers, pods are known by their UIDs.)
    for i, name in enumerate(blocking):
        wait_for(lambda: f"{blocking[i:]} are named, and no other: {cluster.reason()}",
                 lambda: named_in(cluster.reason(), blocking) == blocking[i:])
        cluster.delete_pods(name)
        wait_for(lambda: f"{name}, which has ended, is still named: {cluster.reason()}",
                 lambda: name not in named_in(cluster.reason(), blocking))
    cluster.wait_state("success")
    cluster.wait_allocatable(BALANCED)
    assert cluster.reason() == ""
    kept = sorted(set(reports) - set(blocking))
    now = cluster.pods()
    assert {n: containers(now[n]) for n in kept} == {n: before[n] for n in kept}

    # Nothing was lost: the rest of the node can be filled, and no slice is given twice.
    cluster.create(*[pod(f"one{i}", "mig-1g.5gb") for i in range(16 - len(kept))],
                   *[pod(f"two{i}", "mig-2g.10gb") for i in range(8)],
                   *[pod(f"three{i}", "mig-3g.20gb") for i in range(8)])
    cluster.wait_phases({"Running": 32}, seconds=120)
    uuids = [u for name in cluster.pods() for u in given(cluster, name).uuids]
    assert len(uuids) == 32 and len(set(uuids)) == 32
    assert all(given(cluster, n).uuids == reports[n].uuids for n in kept)


@pytest.mark.parametrize("ms", [0, 50, 150, 400])
def test_an_agent_killed_while_it_changes_the_node_finishes(cluster, agent, ms):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.create(*[pod(f"p{i}", "mig-1g.5gb") for i in range(4)])
    cluster.wait_phases({"Running": 4})
    before = {name: (containers(p), given(cluster, name).uuids)
              for name, p in cluster.pods().items()}

    cluster.label(MIG_CONFIG, "all-balanced")
    time.sleep(ms / 1000)  # where in the change it dies is the point of the case
    agent.kill()
    agent.start()
    wait_partial(cluster, 4)  # four pods, on as many GPUs at most
    after = {name: (containers(p), given(cluster, name).uuids)
             for name, p in cluster.pods().items()}
    assert after == before
    cluster.delete_pods()
    cluster.wait_state("success")
    cluster.wait_allocatable(BALANCED)


def test_eviction_honours_a_disruption_budget(cluster, agent):
    reports, full = fill_and_thin(cluster, agent, "--when-blocked", "evict")
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
              "metadata": {"name": "guard"},
              "spec": {"minAvailable": len(full),
                       "selector": {"matchExpressions": [
                           {"key": "app", "operator": "In", "values": full}]}}}
    cluster.create(budget)
    try:
        wait_for("the budget counts its pods", lambda: cluster.kubectl(
            "get", "pdb", "guard", "-o", "jsonpath={.status.currentHealthy}") == str(len(full)))
        cluster.label(MIG_CONFIG, "all-balanced")
        cluster.wait_state("pending")
        wait_for(lambda: f"the reason names the budget's pods: {cluster.reason()}",
                 lambda: named_in(cluster.reason(), full))
        assert set(full) <= set(cluster.pods()), "a pod was evicted against its budget"
    finally:
        cluster.kubectl("delete", "pdb", "guard")
    cluster.wait_state("success", seconds=90)
    cluster.wait_allocatable(BALANCED)
    left = set(cluster.pods())
    assert len(set(full) & left) == 2, f"of the pods on the full GPU there are left {left}"
    assert all(given(cluster, n).uuids == reports[n].uuids for n in left)


def test_a_container_that_restarts_keeps_its_slice_while_a_change_waits(cluster, agent):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    restarting = pod("p", "mig-1g.5gb")
    command = restarting["spec"]["containers"][0]["command"]
    command[-1] = command[-1].replace("exec sleep 1000000",
                                      "until [ -e /tmp/end ]; do sleep 0.1; done")
    cluster.create(restarting)
    cluster.wait_phases({"Running": 1})
    first = given(cluster, "p")

    cluster.label(MIG_CONFIG, "all-disabled")
    cluster.wait_state("pending")
    cluster.kubectl("exec", "p", "--", "touch", "/tmp/end")
    wait_for("the container runs again", lambda: all(
        c["restartCount"] >= 1 and c["ready"] for c in
        cluster.pods()["p"]["status"]["containerStatuses"]), 60)
    again = given(cluster, "p")
    assert (again.uuids, again.devices) == (first.uuids, first.devices)
    cluster.delete_pods()
    cluster.wait_state("success")


def test_relabels_under_a_stream_of_new_pods(cluster, agent):
    """The kubelet dies of an ID that leaves its list during Allocate; and no slice goes twice."""
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    kubelet = cluster.pid("kubelet")
    number = 0
    for round_, config in enumerate(["all-2g.10gb", "all-1g.5gb"] * 3):
        batch = [pod(f"r{number + i}", "mig-1g.5gb" if i % 2 else "mig-2g.10gb")
                 for i in range(6)]
        number += len(batch)
        cluster.create(*batch)
        cluster.label(MIG_CONFIG, config)
        cluster.wait_settled(len(batch))
        running = [n for n, p in cluster.pods().items() if is_ready(p)]
        uuids = [u for n in running for u in given(cluster, n).uuids]
        assert len(set(uuids)) == len(uuids), f"round {round_}: a slice was given twice"
        cluster.delete_pods()
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 56})
    cluster.wait_state("success")
    assert cluster.pid("kubelet") == kubelet and cluster.alive("kubelet"), "the kubelet died"
