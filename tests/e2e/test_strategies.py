"""migStrategy none, single and mixed, and both names at once."""
from cluster import MIG_CONFIG
from pods import given, pod


def test_none_offers_whole_gpus(cluster, agent):
    agent.start("--mig-strategy", "none")
    cluster.wait_allocatable({"nvidia.com/gpu": 8})
    cluster.create(*[pod(f"p{i}", "gpu", 2) for i in range(5)])
    cluster.wait_phases({"Running": 4, "Pending": 1})
    running = [n for n, p in cluster.pods().items() if p["status"]["phase"] == "Running"]
    gpus = [gpu for name in running for gpu in given(cluster, name).gpus]
    assert sorted(gpus) == [f"/dev/nvidia{i}" for i in range(8)]


def test_single_offers_slices_as_gpus(cluster, agent):
    agent.start("--mig-strategy", "single")
    cluster.label(MIG_CONFIG, "all-2g.10gb")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/gpu": 24})
    cluster.create(*[pod(f"p{i}", "gpu") for i in range(24)])
    cluster.wait_phases({"Running": 24}, seconds=120)
    assert len({tuple(given(cluster, f"p{i}").uuids) for i in range(24)}) == 24


def test_mixed_offers_each_profile_by_its_name(cluster, agent):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-balanced")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 16, "nvidia.com/mig-2g.10gb": 8,
                              "nvidia.com/mig-3g.20gb": 8})
    cluster.create(*[pod(f"p{i}", f"mig-{name}") for i, name in
                     enumerate(("1g.5gb", "2g.10gb", "3g.20gb"))])
    cluster.wait_phases({"Running": 3})
    assert len({tuple(given(cluster, f"p{i}").uuids) for i in range(3)}) == 3


def test_both_names_of_a_slice_never_give_it_twice(cluster, agent, tmp_path):
    """The article's `migStrategy: single` and its pod that asks for nvidia.com/mig-1g.5gb."""
    settings = tmp_path / "config.yaml"
    settings.write_text("migStrategy: single\nsingleAlias: true\n")
    agent.start("--config-file", str(settings))
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/gpu": 56, "nvidia.com/mig-1g.5gb": 56})

    cluster.create(*[pod(f"{kind[:3]}{i}", kind) for i in range(56)
                     for kind in ("gpu", "mig-1g.5gb")])
    # A losing Allocate is refused, and its pod has failed: 56 slices, however the names fall.
    cluster.wait_settled(112, seconds=240)
    pods = cluster.pods()
    running = [n for n, p in pods.items() if p["status"]["phase"] == "Running"]
    refused = [p for p in pods.values() if p["status"]["phase"] == "Failed"]
    uuids = [u for name in running for u in given(cluster, name).uuids]
    print(f"{len(running)} run, {len(refused)} refused, {len(uuids) - len(set(uuids))} used twice")
    assert len(uuids) == len(running) and len(set(uuids)) == len(uuids)
    assert all(p["status"]["reason"] == "UnexpectedAdmissionError" for p in refused), \
        cluster.troubles()

    # What was refused is free for others: the node fills up.
    cluster.delete_pods(*[n for n, p in pods.items() if p["status"]["phase"] != "Running"])
    for i in range(56 - len(running)):
        cluster.create(pod(f"more{i}", "mig-1g.5gb"))
        cluster.wait_phases({"Running": 1}, prefix=f"more{i}")
    full = [u for name in cluster.pods() for u in given(cluster, name).uuids]
    assert len(full) == 56 and len(set(full)) == 56
