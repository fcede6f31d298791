"""NVIDIA's device plugin and kerf's agent in front of the same kubelet, on the same machine."""
import json
import signal
import subprocess

import pytest

from harness import Agent, Kubelet, wait_until
from peer import HERE
from states import config_of

VERSIONS = ["0.19.3", "0.17.4"]
CDI_FILE = "k8s.device-plugin.nvidia.com-gpu.json"


class Plugin:
    """NVIDIA's."""

    def __init__(self, machine, program, strategy, *flags):
        root, given = machine.root, "--device-list-strategy" in flags
        self.log = machine.folder / "plugin.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [HERE / "inside", machine.dir, program, "--mig-strategy", strategy,
                 "--nvidia-driver-root", root, "--nvidia-dev-root", root, "--driver-root-ctr-path", root,
                 *([] if given else ["--device-list-strategy", "cdi-cri"]), *flags],
                env=machine.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self):
        """The exit status, after SIGTERM if it had not ended by itself."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Stage:
    def __init__(self, machine):
        self.machine, self.kubelet = machine, Kubelet(machine.folder)
        self.plugin = self.agent = None
        self.kubelet.start()

    def start_plugin(self, program, strategy, *flags):
        self.plugin = Plugin(self.machine, program, strategy, *flags)

    def start_agent(self, strategy, *flags):
        self.agent = Agent(self.machine.folder, self.machine, self.kubelet, None)
        self.agent.start("--mig-strategy", strategy, *flags)

    def end_plugin(self):
        self.plugin.end()
        self.forget()

    def end_agent(self):
        self.agent.stop()
        self.forget()

    def forget(self):
        """What was listed by whoever has ended."""
        self.kubelet.lists.clear()

    def lists(self, count):
        """Resource to {id: healthy}, once so many devices are there."""
        def there():
            return sum(len(ids) for ids in self.kubelet.lists.values()) == count
        wait_until(there, lambda: f"{count} devices; there are "
                   f"{ {k: len(v) for k, v in self.kubelet.lists.items()} }\n"
                   f"{self.plugin and self.plugin.log.read_text()[-3000:]}"
                   f"{self.agent and self.agent.log()}")
        return {name: dict(ids) for name, ids in self.kubelet.lists.items()}

    def admit(self, pod, resource):
        """The pod, running."""
        self.kubelet.add(pod, resource)
        wait_until(lambda: self.kubelet.pods()[pod]["phase"] in ("Running", "Failed"), f"{pod} admitted")
        got = self.kubelet.pods()[pod]
        assert got["phase"] == "Running", got
        return got

    def cdi(self):
        """Device name to the paths of its nodes, the common ones apart."""
        spec = json.loads((self.machine.cdi / CDI_FILE).read_text())
        devices = {d["name"]: sorted(n["path"] for n in d["containerEdits"]["deviceNodes"])
                   for d in spec["devices"]}
        return spec["kind"], devices, sorted(n["path"] for n in spec["containerEdits"]["deviceNodes"])

    def close(self):
        if self.plugin:
            self.plugin.end()
        if self.agent:
            self.agent.stop()
        self.kubelet.stop()


@pytest.fixture
def stage(here, as_root):
    made = []

    def make(name, state):
        made.append(Stage(here(name, config_of(name, state))))
        return made[-1]

    yield make
    for one in made:
        one.close()


# machine, state, strategy, how many devices there must be
CASES = [
    ("p4d.24xlarge", "off", "none", 8), ("p4d.24xlarge", "off", "single", 8),
    ("p4d.24xlarge", "off", "mixed", 8), ("p4d.24xlarge", "equal", "none", 8),
    ("p4d.24xlarge", "equal", "single", 56), ("p4d.24xlarge", "equal", "mixed", 56),
    ("p4d.24xlarge", "balanced", "mixed", 32), ("p4d.24xlarge", "half", "mixed", 32),
    ("p5.48xlarge", "balanced", "mixed", 32), ("p6-b200.48xlarge", "equal", "single", 56),
    ("a30x4", "balanced", "mixed", 12), ("g7e.12xlarge", "balanced", "mixed", 6),
    ("p4d.24xlarge", "all-1g.10gb", "mixed", 32),
    ("mixed", "balanced", "mixed", 1 + 4 + 4 + 3 + 3), ("g5.48xlarge", "off", "mixed", 8),
    ("g4dn.xlarge", "off", "none", 1),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name,state,strategy,count", CASES, ids=["-".join(map(str, c)) for c in CASES])
def test_same_names_and_ids(stage, peer, name, state, strategy, count, version):
    on = stage(name, state)
    on.start_plugin(peer("bin/nvidia-device-plugin-" + version), strategy)
    theirs, their_kind = on.lists(count), on.cdi()
    on.end_plugin()
    on.start_agent(strategy)
    assert on.lists(count) == theirs
    kind, devices, common = on.cdi()
    assert (kind, common) == (their_kind[0], their_kind[2])
    for one, nodes in their_kind[1].items():
        assert devices.get(one) == nodes, one


# NVIDIA's plugin looks for the first profile whose name is part of the slice's (an expression without
# anchors): what has attributes, or is a part of an instance, goes under the plain name.
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name,state,theirs,ours", [
    ("p4d.24xlarge", "all-1g.5gb.me", {"mig-1g.5gb": 8}, {"mig-1g.5gb.me": 8}),
    ("g7e.12xlarge", "all-1g.24gb.gfx", {"mig-1g.24gb": 8}, {"mig-1g.24gb.gfx": 8}),
    ("g7e.12xlarge", "all-1g.24gb-me", {"mig-1g.24gb": 8}, {"mig-1g.24gb-me": 8}),
    ("p4d.24xlarge", "compute-instances", {"gpu": 7, "mig-3g.20gb": 3},
     {"gpu": 7, "mig-3g.20gb": 1, "mig-1c.3g.20gb": 2}),
])
def test_kerf_tells_apart_what_the_plugin_does_not(stage, peer, name, state, theirs, ours, version):
    def counts():
        found = on.lists(sum(theirs.values()))
        return ({r.removeprefix("nvidia.com/"): len(ids) for r, ids in found.items()},
                {one for ids in found.values() for one in ids})

    on = stage(name, state)
    on.start_plugin(peer("bin/nvidia-device-plugin-" + version), "mixed")
    their_counts, their_ids = counts()
    on.end_plugin()
    on.start_agent("mixed")
    our_counts, our_ids = counts()
    assert (their_counts, our_counts) == (theirs, ours)
    assert our_ids == their_ids


def test_a_pod_of_the_plugin_keeps_its_slice_under_the_agent(stage, peer):
    on = stage("p4d.24xlarge", "balanced")
    on.start_plugin(peer("bin/nvidia-device-plugin-0.19.3"), "mixed")
    on.lists(32)
    pod = on.admit("theirs", "nvidia.com/mig-2g.10gb")
    (device,) = pod["devices"]["nvidia.com/mig-2g.10gb"]
    before = on.cdi()
    on.end_plugin()
    on.start_agent("mixed")
    on.lists(32)
    kind, devices, _ = on.cdi()
    assert pod["answers"][0]["cdi"] == [f"{kind}={device}"]
    assert devices[device] == before[1][device]
    held = [h for h in json.dumps(on.agent.status()).split('"') if h == "theirs"]
    assert held, "`kerf status` does not name the pod"
    other = on.admit("ours", "nvidia.com/mig-2g.10gb")
    assert other["devices"]["nvidia.com/mig-2g.10gb"] != [device]


def test_a_pod_of_the_agent_keeps_its_slice_under_the_plugin(stage, peer):
    on = stage("p4d.24xlarge", "balanced")
    on.start_agent("mixed")
    on.lists(32)
    pod = on.admit("ours", "nvidia.com/mig-3g.20gb")
    (device,) = pod["devices"]["nvidia.com/mig-3g.20gb"]
    before = on.cdi()
    on.end_agent()
    on.start_plugin(peer("bin/nvidia-device-plugin-0.19.3"), "mixed")
    on.lists(32)
    kind, devices, _ = on.cdi()
    assert pod["answers"][0]["cdi"] == [f"{kind}={device}"]
    assert devices[device] == before[1][device]


def test_the_agent_waits_for_the_plugin_and_gives_way_to_it_again(stage, peer):
    """Both directions with no restart of kerf: it is passive while the plugin serves, and only then."""
    on, program = stage("p4d.24xlarge", "balanced"), peer("bin/nvidia-device-plugin-0.19.3")
    on.start_plugin(program, "mixed")
    on.lists(32)
    theirs = on.cdi()
    on.start_agent("mixed")
    wait_until(lambda: "nvidia-mig-1g.5gb.sock" in on.agent.status().get("passive", ""), on.agent.log)
    first = on.admit("first", "nvidia.com/mig-2g.10gb")
    assert on.cdi() == theirs
    on.end_plugin()
    on.lists(32)
    second = on.admit("second", "nvidia.com/mig-2g.10gb")
    registered = len(on.kubelet.events)
    on.start_plugin(program, "mixed")
    wait_until(lambda: on.agent.status().get("passive"), on.agent.log)

    def serves():
        """The plugin, of all three resources, and the agent of none."""
        seen = {e["resource"] for e in on.kubelet.events[registered:]
                if e["event"] == "list" and e["devices"]}
        return len(seen) == 3
    wait_until(serves, lambda: on.kubelet.events[registered:])
    third = on.admit("third", "nvidia.com/mig-2g.10gb")
    devices = [pod["devices"]["nvidia.com/mig-2g.10gb"][0] for pod in (first, second, third)]
    assert len(set(devices)) == 3, devices


@pytest.mark.parametrize("strategy,flags", [
    ("envvar", []), ("volume-mounts", []), ("cdi-annotations", []), ("envvar", ["--pass-device-specs"])])
def test_a_container_is_told_the_same(stage, peer, strategy, flags):
    """Allocate's answer for one slice, of the plugin and of the agent."""
    answers, on = [], stage("p4d.24xlarge", "equal")
    program = peer("bin/nvidia-device-plugin-0.19.3")
    for start in (lambda *f: on.start_plugin(program, "mixed", *f), lambda *f: on.start_agent("mixed", *f)):
        start("--device-list-strategy", strategy, *flags)
        on.lists(56)
        device = sorted(on.kubelet.lists["nvidia.com/mig-1g.5gb"])[7]
        on.kubelet.add("pod", {"nvidia.com/mig-1g.5gb": 1}, force=[device])
        wait_until(lambda: on.kubelet.pods()["pod"]["phase"] == "Running", on.kubelet.pods)
        answers.append(on.kubelet.pods()["pod"]["answers"][0])
        on.kubelet.delete("pod")
        if len(answers) == 1:
            on.end_plugin()
    theirs, ours = (normal(a) for a in answers)
    ours["envs"].pop("KERF_DEVICES", None)  # our own, beside theirs
    assert ours == theirs


def normal(answer):
    """Without what is new each time: the key of a CDI annotation ends in a random UUID."""
    answer = dict(answer, annotations={k[:-36]: v for k, v in answer["annotations"].items()},
                  mounts=sorted(answer["mounts"], key=str))
    answer["device_nodes"] = sorted(answer["device_nodes"], key=str)
    return answer


def test_what_the_plugin_refuses_to_start_with(stage, peer):
    """`single` on unequal slices: NVIDIA's plugin ends; kerf offers each slice as a GPU."""
    on = stage("p4d.24xlarge", "balanced")
    on.start_plugin(peer("bin/nvidia-device-plugin-0.19.3"), "single")
    assert on.plugin.process.wait(30) != 0
    on.start_agent("single")
    assert set(on.lists(32)) == {"nvidia.com/gpu"}


SHARED = """\
version: v1
flags: {migStrategy: %s}
sharing:
  timeSlicing:
    renameByDefault: %s
    resources:
    - {name: nvidia.com/gpu, replicas: 4}
    - {name: nvidia.com/mig-1g.5gb, replicas: 3}
"""


@pytest.mark.parametrize("state,strategy,renamed,count", [
    ("off", "none", "false", 32), ("off", "none", "true", 32), ("balanced", "mixed", "false", 16 * 3 + 16),
    ("balanced", "mixed", "true", 16 * 3 + 16), ("equal", "single", "false", 56 * 4)])
def test_same_replicas(stage, peer, state, strategy, renamed, count):
    on = stage("p4d.24xlarge", state)
    file = on.machine.folder / "config.yaml"
    file.write_text(SHARED % (strategy, renamed))
    on.start_plugin(peer("bin/nvidia-device-plugin-0.19.3"), strategy, "--config-file", file)
    theirs = on.lists(count)
    on.end_plugin()
    on.start_agent(strategy, "--config-file", file)
    assert on.lists(count) == theirs
