"""kerf release: the agent lets go of the GPUs while something else resets one."""
import json
import os
import signal
import subprocess

from harness import KERF, MIG_1G, quiet_env, run, wait_until

GPU = "nvidia.com/gpu"


def opened(node):
    """NVML sessions of the agent that are open."""
    calls = node.machine.show()["calls"]["by_name"]
    return calls.get("nvmlInit_v2", 0) + calls.get("nvmlInitWithFlags", 0) - \
        calls.get("nvmlShutdown", 0)


def release(node, *command):
    words = [KERF, "release", "--state-dir", node.agent.state_dir]
    return subprocess.Popen([*map(str, words), *(["--", *command] if command else [])],
                            env=quiet_env(), text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def up(node, *flags):
    node.start("--metrics-listen", "127.0.0.1:0", *flags, label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    wait_until(lambda: opened(node) >= 2, "jobs, listener and sampler have the driver open")


def test_nothing_has_the_driver_open_while_the_command_runs(node):
    up(node)
    done = release(node, "sh", "-c", f"{KERF} sim show {node.machine.dir} -o json; exit 7")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 7, err
    calls = json.loads(out)["calls"]["by_name"]
    assert calls["nvmlInit_v2"] == calls["nvmlShutdown"], "the command sees every session closed"
    wait_until(lambda: opened(node) >= 2, "they are open again")
    assert "released" not in node.agent.status()
    node.relabel("all-3g.20gb")


def test_a_reset_goes_through_and_everything_is_as_before(node):
    up(node)
    before = node.machine.slices()
    done = release(node, str(KERF), "sim", "reset", str(node.machine.dir), "3")
    _, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    wait_until(lambda: set(node.machine.slices()) == set(before), "the slices are made again", 40)
    node.wait_allocatable({MIG_1G: 56})


def test_what_is_listed_is_handed_out_meanwhile_and_changes_wait(node):
    up(node)
    holder = release(node)
    assert "released" in holder.stdout.readline()
    wait_until(lambda: node.agent.status().get("released"), "the agent says so")
    assert "released: nothing is read" in run("status", "--state-dir", node.agent.state_dir,
                                              "--root", node.machine.root)
    node.add_pods("p")
    node.wait_phase("Running", "p")
    before = node.machine.show()["calls"]
    node.api.label("all-3g.20gb")
    node.agent.reload()
    assert opened(node) == 0
    holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=20)
    wait_until(lambda: node.machine.show()["calls"] != before, "the driver is asked again")
    wait_until(lambda: "default/p" in node.api.reason(), lambda: node.api.reason())


def test_who_asks_and_is_killed_keeps_nothing_released(node):
    up(node)
    holder = release(node)
    holder.stdout.readline()
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=20)
    node.relabel("all-3g.20gb")


def test_two_may_ask_and_the_last_one_ends_it(node):
    up(node)
    first, second = release(node), release(node)
    for one in first, second:
        assert "released" in one.stdout.readline()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=20)
    assert node.agent.status().get("released")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=20)
    wait_until(lambda: not node.agent.status().get("released"), "it is over")
    node.relabel("all-3g.20gb")


def test_an_agent_that_ends_ends_it(node):
    up(node)
    holder = release(node)
    holder.stdout.readline()
    node.agent.stop()
    _, err = holder.communicate(timeout=20)
    assert holder.returncode == 1 and "the agent has ended" in err


def test_without_an_agent_nothing_is_held_and_the_command_runs(node):
    done = release(node, "true")
    _, err = done.communicate(timeout=20)
    assert done.returncode == 0 and "no agent is running" in err
    done = release(node)
    done.communicate(timeout=20)
    assert done.returncode == 1
