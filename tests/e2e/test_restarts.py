"""Twenty restarts of a real kubelet, and some of the agent: nothing is lost, nothing grows."""
from cluster import MIG_CONFIG, containers
from pods import given, pod

RESTARTS = 20


def test_twenty_kubelet_restarts_lose_nothing(cluster, agent):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.create(*[pod(f"p{i}", "mig-1g.5gb") for i in range(20)])
    cluster.wait_phases({"Running": 20}, seconds=120)
    before = {name: containers(p) for name, p in cluster.pods().items()}

    sizes = []
    for i in range(RESTARTS):
        cluster.restart_kubelet()
        cluster.wait_registered("nvidia.com/mig-1g.5gb")
        cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 56})
        cluster.create(pod(f"q{i}", "mig-1g.5gb"))  # the new kubelet allocates
        cluster.wait_phases({"Running": 1}, prefix=f"q{i}")
        if i % 2:
            cluster.delete_pods(f"q{i}")
        sizes.append(agent.rss_kib())
    print(f"{RESTARTS} restarts, resident {sizes[0]} to {sizes[-1]} KiB")
    assert agent.alive(), agent.log()

    assert {n: containers(p) for n, p in cluster.pods("p").items()} == before
    held = [u for name in cluster.pods() for u in given(cluster, name).uuids]
    cluster.create(*[pod(f"rest{i}", "mig-1g.5gb") for i in range(56 - len(held))])
    cluster.wait_phases({"Running": 56}, seconds=120)
    uuids = [u for name in cluster.pods() for u in given(cluster, name).uuids]
    assert len(set(uuids)) == 56, "a slice that a pod holds was given to another"
    # Flat: what a restart costs is not kept.  A few pages are the allocator's freedom.
    assert sizes[-1] - sizes[RESTARTS // 4] < 256, sizes


def test_the_agent_may_be_replaced_under_running_pods(cluster, agent):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.create(*[pod(f"p{i}", "mig-1g.5gb") for i in range(28)])
    cluster.wait_phases({"Running": 28}, seconds=120)
    before = {name: containers(p) for name, p in cluster.pods().items()}
    for i in range(5):
        registered = cluster.registrations("nvidia.com/mig-1g.5gb")
        if i % 2:
            assert agent.stop() == 0, agent.log()
        else:
            agent.kill()
        agent.start()
        cluster.wait_registered("nvidia.com/mig-1g.5gb", more_than=registered)
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 56})
    cluster.create(*[pod(f"q{i}", "mig-1g.5gb") for i in range(28)])
    cluster.wait_phases({"Running": 56}, seconds=120)
    assert {n: containers(p) for n, p in cluster.pods("p").items()} == before
    assert len({tuple(given(cluster, n).uuids) for n in cluster.pods()}) == 56
