"""kill -9 at any moment: what pods hold is never destroyed, never forgotten, and the change is done.

Random changes from a fixed seed: labels of the machine, pods that come and go meanwhile, and in
each change the agent is killed once or many times, in one of three ways:

  at a random time        up to 150 ms after its start or after the label
  at a driver call        before or after the n-th call of one that changes something
  after every such call   so that each life of the agent makes exactly one change

After each change the agent is left alone until nothing but held slices is in the way.  Then: every
running pod's slice is the very one that it was given (place and generation), the agent knows all
holders, nothing was given twice; and at the end, without pods, the node is as labelled.

KERF_KILL_CHANGES sets how many changes (`make exhaustive`: 200), KERF_KILL_SEED which.
"""
import json
import os
import random
import time

import pytest

from harness import run, wait_until

CHANGES = int(os.environ.get("KERF_KILL_CHANGES", 40))
LIVES = 25 if CHANGES >= 200 else 8  # of the agent that each end after one driver call
SEED = int(os.environ.get("KERF_KILL_SEED", 1))

MUTATING = ["nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlGpuInstanceDestroy",
            "nvmlGpuInstanceCreateComputeInstance", "nvmlComputeInstanceDestroy"]
MODE = "nvmlDeviceSetMigMode"

LABELS = {
    "p4d.24xlarge": ["all-1g.5gb", "all-2g.10gb", "all-3g.20gb", "all-balanced", "all-7g.40gb",
                     "all-1g.10gb"],
    "p5.48xlarge": ["all-1g.10gb", "all-2g.20gb", "all-3g.40gb", "all-balanced", "all-7g.80gb",
                    "all-1g.20gb", "all-disabled"],
}


class Killer:
    """A node, and what was done to it."""

    def __init__(self, node, rng):
        self.node, self.rng = node, rng
        self.kills = self.at_calls = self.pods = 0
        self.given = {}   # pod -> {id: (gpu, profile, start, generation)}
        self.destroyed = self.lost = 0

    def start_agent(self):
        self.node.agent.start()

    def kill_agent(self):
        if self.node.agent.alive():
            self.node.agent.kill()
        else:
            self.node.agent.end()
        self.kills += 1

    # --- pods ---

    def churn(self):
        kubelet, rng = self.node.kubelet, self.rng
        for name, pod in sorted(kubelet.pods().items()):
            if pod["phase"] != "Running" or rng.random() < 0.3:
                kubelet.delete(name)
                self.given.pop(name, None)
        self.add_pods(rng.randrange(5))
        wait_until(lambda: all(p["phase"] != "Admitting" for p in kubelet.pods().values()),
                   "admissions end")
        self.note_given()

    def add_pods(self, n):
        offered = sorted(self.node.kubelet.allocatable())
        for _ in range(n if offered else 0):
            self.pods += 1
            self.node.kubelet.add(f"k{self.pods}", {self.rng.choice(offered): 1})

    def note_given(self):
        """What running pods were given, as the machine has it; and what became of it."""
        slices = self.node.machine.slices()
        for name, pod in self.node.kubelet.pods().items():
            if pod["phase"] != "Running":
                continue
            for one in [i for ids in pod["devices"].values() for i in ids]:
                if one.startswith("GPU-"):
                    continue
                first = self.given.setdefault(name, {}).setdefault(one, slices.get(one))
                if slices.get(one) is None or slices[one] != first:
                    self.destroyed += 1

    # --- ways to die ---

    def at_random_times(self):
        for _ in range(self.rng.randrange(1, 4)):
            time.sleep(self.rng.uniform(0, 0.15))
            self.kill_agent()
            self.start_agent()
            self.add_pods(self.rng.randrange(2))

    def await_death(self, seconds=3):
        """Has the agent died of its fault?  Not, if the change was done without that call."""
        end = time.monotonic() + seconds
        while self.node.agent.alive() and time.monotonic() < end:
            if self.settled():
                return False
            time.sleep(0.01)
        return not self.node.agent.alive()

    def at_a_call(self):
        call = MODE if self.label == "all-disabled" else self.rng.choice(MUTATING)
        when = self.rng.choice(["kill", "kill-after"])
        self.node.machine.fault(call, when, "--from", self.rng.randrange(1, 12), "--times", 1)
        if self.await_death():
            self.kill_agent()
            self.at_calls += 1
            self.start_agent()
        self.node.machine.fault(call, "--clear")

    def after_every_call(self):
        for call in MUTATING + [MODE]:
            self.node.machine.fault(call, "kill-after", "--from", 1)
        for _ in range(LIVES):
            if not self.await_death():
                break
            self.kill_agent()
            self.at_calls += 1
            self.start_agent()
        for call in MUTATING + [MODE]:
            self.node.machine.fault(call, "--clear")

    # --- the end of a change ---

    def settled(self):
        agent = self.node.agent
        done = run("status", "-o", "json", "--root", agent.machine.root, "--state-dir",
                   agent.state_dir, "--kubelet-dir", agent.kubelet.dir, check=False)
        if done.returncode:
            return False
        status = json.loads(done.stdout)
        if status["source"] != "agent" or status.get("config") != self.label:
            return False
        if status.get("state") == "success":
            return True
        if status.get("state") != "pending" or "waiting for" not in status.get("reason", ""):
            return False
        plan = run("plan", "-o", "json", "--root", agent.machine.root, "--state-dir",
                   agent.state_dir, "--kubelet-dir", agent.kubelet.dir, "-c", self.label,
                   check=False)
        try:
            steps = json.loads(plan.stdout).get("steps", [])
        except ValueError:
            return False
        return all(step["blocked"] for step in steps)

    def check(self):
        self.note_given()
        status = self.node.agent.status()
        known = {s["uuid"] for g in status["gpus"] for s in g["slices"] if s["state"] == "held"}
        known |= {g["uuid"] for g in status["gpus"] if g["holders"]}
        held = set(self.node.kubelet.held())
        self.lost += len(held - known)
        self.node.check()

    def change(self, label):
        self.label = label
        self.churn()
        self.node.api.label(label)
        way = self.rng.choice([self.at_random_times, self.at_random_times, self.at_a_call,
                               self.at_a_call, self.after_every_call])
        way()
        self.note_given()
        if not self.node.agent.alive():
            self.kill_agent()
            self.start_agent()
        wait_until(self.settled, lambda: f"nothing but held slices in the way of {label}: "
                   f"{self.node.api.reason()}\n{self.node.agent.log(60)}", 60)
        self.check()
        return way.__name__


@pytest.mark.parametrize("machine", sorted(LABELS))
def test_killed_at_every_step_of_random_changes(make_node, machine):
    changes = CHANGES // 2
    rng = random.Random(f"{SEED} {machine}")
    node = make_node(machine)
    node.start(label=LABELS[machine][0])
    killer = Killer(node, rng)
    label = LABELS[machine][0]
    for i in range(changes):
        label = rng.choice([other for other in LABELS[machine] if other != label])
        way = killer.change(label)
        print(f"{i}: {label}, killed {way}: {killer.kills} kills so far, "
              f"{len(node.kubelet.held())} held", flush=True)
    for name in list(node.kubelet.pods()):
        node.kubelet.delete(name)
    node.relabel(LABELS[machine][0])
    node.wait_allocatable({f"nvidia.com/mig-{LABELS[machine][0][4:]}": 56}, 40)
    print(f"{machine}: {changes} changes, {killer.kills} kills -9 ({killer.at_calls} at driver "
          f"calls), {killer.pods} pods, busy slices destroyed {killer.destroyed}, allocations "
          f"lost {killer.lost}")
    assert killer.destroyed == 0 and killer.lost == 0
    assert killer.kills >= changes // 2, "the test hardly kills"
