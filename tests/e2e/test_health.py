"""What falls ill goes, and comes back by itself: the agent is never restarted here."""
import subprocess

from cluster import containers, wait_for
from pods import pod


def sim(agent, verb, *args):
    subprocess.run([agent.kerf, "sim", verb, agent.machine, *map(str, args)], check=True,
                   stdin=subprocess.DEVNULL)


def holding(cluster, n=8):
    """Pods on some GPUs, and what tells their containers from later ones."""
    cluster.wait_allocatable({"nvidia.com/gpu": n})
    cluster.create(pod("a", "gpu"), pod("b", "gpu"))
    cluster.wait_phases({"Running": 2})
    return {name: containers(p) for name, p in cluster.pods().items()}


def undisturbed(cluster, before):
    return {name: containers(p) for name, p in cluster.pods().items()} == before


def test_an_xid_takes_its_gpu_off_until_probes_are_clean(cluster, agent):
    agent.start()
    before = holding(cluster)
    sim(agent, "ail", 3, "--recovery", 1)
    sim(agent, "xid", 3, 79)
    cluster.wait_allocatable({"nvidia.com/gpu": 7})
    wait_for(lambda: f"an Event: {cluster.events()}",
             lambda: any(r == "GPUUnhealthy" for r, _ in cluster.events()))
    sim(agent, "ail", 3, "--recovery", 0)
    cluster.wait_allocatable({"nvidia.com/gpu": 8}, seconds=90)
    assert undisturbed(cluster, before) and agent.alive()


def test_a_gpu_off_the_bus_costs_that_gpu_only_and_comes_back(cluster, agent):
    agent.start()
    before = holding(cluster)
    sim(agent, "lose", 5)
    cluster.wait_allocatable({"nvidia.com/gpu": 7}, seconds=60)
    cluster.create(pod("six", "gpu", 2))  # allocation goes on without it
    cluster.wait_phases({"Running": 1}, prefix="six")
    cluster.delete_pods("six")
    sim(agent, "lose", 5, "--back")
    cluster.wait_allocatable({"nvidia.com/gpu": 8}, seconds=90)
    assert undisturbed(cluster, before) and agent.alive()


def test_a_driver_that_is_reloaded_costs_capacity_for_no_longer_than_that(cluster, agent):
    agent.start()
    before = holding(cluster)
    sim(agent, "unload")
    wait_for(lambda: f"nothing is offered: {cluster.allocatable()}",
             lambda: not cluster.allocatable(), 60)
    sim(agent, "load")
    cluster.wait_allocatable({"nvidia.com/gpu": 8}, seconds=60)
    assert undisturbed(cluster, before) and agent.alive()
