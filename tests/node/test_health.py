"""Health: what an XID takes and what not, and how everything comes back by itself.

Named after the complaints of nvidia-stack.md section 7, rows 1-3, 29 and 30.
"""
import os
import time

import pytest

from harness import KERF, MIG_1G, wait_until
from test_slices import GPU, names

HEALTH = "kerf.dev/health"
SANITIZED = b"__asan_init" in KERF.read_bytes() if KERF.exists() else False
EVENTS = int(os.environ.get("KERF_HEALTH_EVENTS", 10000))


def annotation(node):
    return node.api.node()["metadata"].get("annotations", {}).get(HEALTH, "")


def unhealthy(node, resource):
    return {one for one, healthy in node.kubelet.lists.get(resource, {}).items() if not healthy}


def ever_unhealthy(node, resource, since=0):
    """Every device that any list of the kubelet's had as Unhealthy."""
    return {d["id"] for e in node.kubelet.events[since:] if e["event"] == "list" and
            e["resource"] == resource for d in e["devices"] if not d["healthy"]}


def up(node, *flags, label="all-1g.5gb", want=None):
    """A node whose driver is listened to."""
    node.start(*flags, label=label)
    node.wait_allocatable(want or {MIG_1G: 56})
    wait_until(lambda: listens(node), "the agent listens to the driver's events")


def listens(node):
    """A set of events is there, with every GPU in it: what comes now is heard."""
    show = node.machine.show()
    calls = show["calls"]["by_name"]
    sets = calls.get("nvmlEventSetCreate", 0)
    return sets == calls.get("nvmlEventSetFree", 0) + 1 and \
        calls.get("nvmlDeviceRegisterEvents", 0) == sets * len(show["gpus"])


def slice_at(node, gpu, index):
    """(MIG UUID, GPU instance) of a slice of the machine."""
    show = node.machine.show()["gpus"][gpu]
    gi = show["instances"][index]
    return gi["compute"][0]["uuid"], gi["id"]


def test_an_xid_of_a_slice_takes_that_slice_and_no_other_and_it_comes_back(node):
    """k8s-device-plugin#1929, #1014: with MIG an XID marked nothing, or for ever."""
    up(node)
    uuid, gi = slice_at(node, 2, 3)
    seen = len(node.kubelet.events)
    node.machine.sim("xid", 2, 119, "--gi", gi, "--ci", 0)
    wait_until(lambda: unhealthy(node, MIG_1G) == {uuid}, lambda: f"{uuid} alone is Unhealthy")
    node.wait_allocatable({MIG_1G: 56})
    assert ever_unhealthy(node, MIG_1G, seen) == {uuid}
    assert node.kubelet.capacity() == {MIG_1G: 56}
    told = [note for reason, note in node.api.events() if reason == "GPUUnhealthy"]
    assert len(told) == 1 and "XID 119" in told[0] and f"gpu 2 instance {gi}/0" in told[0]
    wait_until(lambda: any(r == "GPUHealthy" for r, _ in node.api.events()), "the good news")
    wait_until(lambda: annotation(node) == "", "the annotation goes")


def test_an_xid_that_names_no_slice_takes_every_slice_of_its_gpu(node):
    up(node)
    node.machine.sim("xid", 5, 119)
    mine = {one for one, (gpu, *_) in node.machine.slices().items() if gpu == 5}
    wait_until(lambda: unhealthy(node, MIG_1G) == mine, "the seven slices of gpu 5")
    node.wait_allocatable({MIG_1G: 56})


def test_applications_own_xids_are_ignored(node):
    up(node)
    seen = len(node.kubelet.events)
    for xid in (13, 31, 43, 45, 68, 109):
        node.machine.sim("xid", 0, xid)
    node.machine.sim("xid", 1, 119)  # behind them in the queue: when it is told, they are through
    wait_until(lambda: unhealthy(node, MIG_1G), "the XID that is not ignored")
    took = ever_unhealthy(node, MIG_1G, seen)
    assert {node.machine.slices()[one][0] for one in took} == {1}


def waits_of(node):
    return node.machine.show()["calls"]["by_name"].get("nvmlEventSetWait_v2", 0)


def field_reads(node):
    return node.machine.show()["calls"]["by_name"]["nvmlDeviceGetFieldValues"]


def test_a_hardware_fault_waits_for_the_recovery_action(make_node):
    node = make_node("p5.48xlarge")
    up(node, label="all-disabled", want={GPU: 8})
    node.machine.sim("xid", 3, 95)
    node.machine.sim("ail", 3, "--recovery", 1)
    node.wait_allocatable({GPU: 7})
    wait_until(lambda: "XID 95" in annotation(node),
               lambda: f"the reason on the Node: {annotation(node)}")
    gpu = node.agent.status()["gpus"][3]
    assert gpu["state"] == "unhealthy" and "XID 95" in gpu["trouble"]
    looks = field_reads(node)
    wait_until(lambda: field_reads(node) >= looks + 5 * 8, "five more probes of eight GPUs")
    assert node.kubelet.allocatable() == {GPU: 7}
    node.machine.sim("ail", 3, "--recovery", 0)
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: annotation(node) == "", "the annotation goes")


def test_row_remapping_takes_its_gpu_until_the_reset(node):
    up(node)
    node.machine.sim("ail", 4, "--remap", 1)
    node.wait_allocatable({MIG_1G: 49})
    wait_until(lambda: "row remapping" in annotation(node), lambda: annotation(node))
    node.machine.sim("ail", 4, "--remap", 0)
    node.wait_allocatable({MIG_1G: 56})


def test_gpus_behind_switches_are_offered_when_their_fabric_is_ready(make_node):
    node = make_node("p5.48xlarge")
    for gpu in (0, 1):
        node.machine.sim("ail", gpu, "--fabric", 2)
    node.start()
    node.wait_allocatable({GPU: 6})
    assert node.kubelet.capacity() == {GPU: 8}
    assert "fabric" in node.agent.status()["gpus"][1]["trouble"]
    wait_until(lambda: "fabric" in annotation(node), "the reason on the Node")
    for gpu in (0, 1):
        node.machine.sim("ail", gpu, "--fabric", 3)
    node.wait_allocatable({GPU: 8})


def test_every_replica_of_a_gpu_goes_and_comes_back(node):
    """k8s-device-plugin#1929: an XID took out one of N replicas."""
    config = node.folder / "config.yaml"
    config.write_text("version: v1\nsharing:\n  timeSlicing:\n    resources:\n"
                      "    - name: nvidia.com/gpu\n      replicas: 4\n")
    node.start("--config-file", config)
    node.wait_allocatable({GPU: 32})
    wait_until(lambda: listens(node), "the agent listens")
    node.machine.sim("xid", 6, 119)
    wait_until(lambda: len(unhealthy(node, GPU)) == 4, "four replicas")
    assert len({one.split("::")[0] for one in unhealthy(node, GPU)}) == 1
    node.wait_allocatable({GPU: 32})


def test_a_lost_gpu_leaves_the_others_to_be_had_and_comes_back(node):
    """k8s-device-plugin#2038, #231: one GPU off the bus failed every allocation of the node."""
    up(node)
    node.machine.sim("lose", 3)
    node.wait_allocatable({MIG_1G: 49})
    node.add_pods(*names(49), resource=MIG_1G)
    node.wait_phase("Running", *names(49))
    wait_until(lambda: "gpu 3" in annotation(node), "the reason on the Node")
    node.machine.sim("lose", 3, "--back")
    wait_until(lambda: not unhealthy(node, MIG_1G), "all are Healthy again")
    wait_until(lambda: annotation(node) == "", "the annotation goes")
    heard(node, 3, 0)


def heard(node, gpu, index):
    """The XIDs of this slice are heard, by a listener that may only now be starting."""
    uuid, gi = slice_at(node, gpu, index)

    def down():
        node.machine.sim("xid", gpu, 119, "--gi", gi, "--ci", 0)
        return unhealthy(node, MIG_1G) == {uuid}
    wait_until(down, f"an XID of gpu {gpu} is heard", 10)


def fall(node, uuid, gi):
    node.machine.sim("xid", 0, 119, "--gi", gi, "--ci", 0)
    wait_until(lambda: uuid in unhealthy(node, MIG_1G), "down")


def test_a_slice_that_flaps_stays_down_until_a_person_acts(node):
    up(node)
    uuid, gi = slice_at(node, 0, 0)
    for _ in range(3):
        fall(node, uuid, gi)
        wait_until(lambda: not unhealthy(node, MIG_1G), "and up")
    fall(node, uuid, gi)
    wait_until(lambda: "stays down" in annotation(node), lambda: annotation(node))
    looks = field_reads(node)
    node.machine.sim("xid", 1, 119)  # something to probe for
    wait_until(lambda: field_reads(node) >= looks + 2 * 8, "two more probes of eight GPUs")
    wait_until(lambda: len(unhealthy(node, MIG_1G)) == 1, "gpu 1 is up again")
    assert unhealthy(node, MIG_1G) == {uuid}
    node.agent.reload()
    wait_until(lambda: not unhealthy(node, MIG_1G), "SIGHUP ends it")


def test_events_are_heard_after_a_driver_reload(node):
    """k8s-device-plugin#1698, #426."""
    up(node)
    before = set(node.machine.slices())
    node.machine.sim("reload")
    wait_until(lambda: set(node.machine.slices()) == before, "the slices are back", 40)
    node.wait_allocatable({MIG_1G: 56})
    heard(node, 1, 1)


def test_a_mode_change_ends_the_wait_at_once_and_begins_it_anew(node):
    node.start()
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: listens(node), "the agent listens")
    began = time.monotonic()
    node.relabel("all-1g.5gb")
    assert time.monotonic() - began < 4, "the driver's wait of 5 s is not sat out"
    node.wait_allocatable({MIG_1G: 56})
    heard(node, 7, 6)


def test_the_agent_ends_at_once_though_the_driver_waits(node):
    up(node)
    began = time.monotonic()
    node.agent.stop()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("disable,enable,taken", [
    ("119", "", {1}), ("xids", "", set()), ("all", "", set()), ("", "31", {0, 1, 2}),
    ("all", "119", {2}), ("119", "all", {0, 1, 2}),
])
def test_the_two_variables_have_their_documented_meaning(node, disable, enable, taken):
    """XID 31 on gpu 0, 48 on gpu 1, 119 on gpu 2; `taken` are the GPUs that fall."""
    node.start(f"--disable-healthchecks={disable}", f"--enable-healthchecks={enable}")
    node.wait_allocatable({GPU: 8})
    if (disable, enable) != ("all", ""):
        wait_until(lambda: listens(node), "the agent listens")
    gpus = [gpu["uuid"] for gpu in node.machine.show()["gpus"]]
    seen = len(node.kubelet.events)
    for gpu, xid in enumerate((31, 48, 119)):
        node.machine.sim("xid", gpu, xid)
    expected = {gpus[g] for g in taken}
    wait_until(lambda: ever_unhealthy(node, GPU, seen) >= expected, "what falls")
    waits = waits_of(node)
    if taken or waits:  # all three are through when the fourth wait has begun
        wait_until(lambda: waits_of(node) >= 4, "three events are taken")
    assert ever_unhealthy(node, GPU, seen) == expected


def test_many_events_leave_the_memory_flat(node):
    """Of an application's XID and of a driver's, a hundred at a time as the simulator keeps 256."""
    up(node)

    def storm(n):
        for i in range(n // 100):
            before = waits_of(node)
            node.machine.sim("xid", 0, 31 if i % 2 else 119, "--times", 100)
            wait_until(lambda: waits_of(node) >= before + 100, "a hundred events are taken")
    storm(1000)
    before = node.agent.memory_kib()
    storm(EVENTS)
    after = node.agent.memory_kib()
    print(f"{EVENTS} events: RSS {before} -> {after} KiB")
    assert SANITIZED or after - before < 256
    wait_until(lambda: not unhealthy(node, MIG_1G), "it comes back")


def test_what_the_file_ignores_counts_when_the_file_changes(node):
    """NVIDIA's plugin reads DP_DISABLE_HEALTHCHECKS when it starts."""
    file, log = node.folder / "config.yaml", "config.yaml: in force"
    file.write_text("version: v1\nkerf: {disableHealthChecks: '119'}\n")
    node.start("--config-file", file)
    node.wait_allocatable({GPU: 8})
    wait_until(lambda: listens(node), "the agent listens")
    before = waits_of(node)
    node.machine.sim("xid", 0, 119)
    wait_until(lambda: waits_of(node) > before, "the event is taken")
    assert ever_unhealthy(node, GPU) == set()
    file.write_text("version: v1\n")
    wait_until(lambda: log in node.agent.log(200), "the file is in force")
    node.machine.sim("xid", 0, 119)
    wait_until(lambda: len(ever_unhealthy(node, GPU)) == 1, "XID 119 counts")
    file.write_text("version: v1\nkerf: {disableHealthChecks: all}\n")
    wait_until(lambda: node.agent.logged("health checks are switched off"), "all are off")
    node.wait_allocatable({GPU: 8})
    calls = node.machine.show()["calls"]["by_name"]
    wait_until(lambda: not listens(node), "nobody listens any more")
    assert calls["nvmlEventSetCreate"] >= 1
    file.write_text("version: v1\n")
    wait_until(lambda: listens(node), "the agent listens again")
    node.machine.sim("xid", 3, 119)
    wait_until(lambda: len(ever_unhealthy(node, GPU)) == 2, "and hears")
