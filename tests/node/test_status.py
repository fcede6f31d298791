"""`kerf status`: colours on a terminal only, -o, and a change that cannot be finished is said."""
import json
import os
import pty
import subprocess

from harness import KERF, quiet_env, run, wait_until

TEN = "sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 10}]}}\n"


def status(node, *flags):
    return ["status", "--root", node.machine.root, "--state-dir", node.agent.state_dir, *flags]


def on_a_terminal(words, **env):
    """What kerf writes where standard output and error are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([KERF, *map(str, words)], stdin=subprocess.DEVNULL, stdout=theirs,
                               stderr=theirs, env={**quiet_env(), "TERM": "xterm", **env})
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # EIO: the other side is closed
            piece = b""
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait(30) == 0
    return text.decode().replace("\r\n", "\n")


def plain(text):
    for code in ("31", "32", "33", "36", "0"):
        text = text.replace(f"\033[{code}m", "")
    return text


def test_states_are_in_colours_on_a_terminal_and_only_there(node):
    node.start(label="all-1g.5gb")
    node.add_pods("a")
    node.wait_phase("Running", "a")
    wait_until(lambda: "held" in run(*status(node)), "the holder is known")
    text = run(*status(node))
    assert "\033" not in text
    coloured = on_a_terminal(status(node))
    assert "\033[32msuccess\033[0m" in coloured and "\033[36mheld " in coloured
    assert plain(coloured) == text
    assert on_a_terminal(status(node), NO_COLOR="1") == text
    assert on_a_terminal(status(node), TERM="dumb") == text


def test_each_form_of_output_tells_the_same(node):
    node.start(label="all-1g.5gb")
    told = json.loads(run(*status(node, "-o", "json")))
    wide = run(*status(node, "-o", "wide"))
    for gpu in told["gpus"]:
        assert gpu["uuid"] in wide and gpu["busId"] in wide
        assert all(one["uuid"] in wide for one in gpu["slices"])
    assert told["containers"] in wide and f"node {told['node']}\n" in wide
    assert f"uuid: {told['gpus'][0]['uuid']}" in run(*status(node, "-o", "yaml"))
    refused = run(*status(node, "-o", "xml"), check=False)
    assert refused.returncode == 2 and "xml" in refused.stderr


def test_a_slow_driver_is_said_to_be_waited_for(node):
    node.machine.fault("nvmlInit_v2", "SUCCESS", "--delay", "1500")
    assert "kerf: reading the GPUs...\n" in on_a_terminal(status(node))
    assert run(*status(node), check=False).stderr == ""


def test_a_change_of_sharing_that_cannot_be_finished_is_said(make_node):
    node = make_node("g4dn.xlarge")
    file = node.folder / "config.yaml"
    file.write_text("version: v1\n")
    node.start("--config-file", file, "--pod-resources", "none")
    node.wait_allocatable({"nvidia.com/gpu": 1})
    file.write_text(TEN)
    wait_until(lambda: node.agent.status().get("soldAnew") == {"held": 0, "kubelet": 1},
               lambda: f"{node.agent.status()}\n{node.agent.log()}")
    wait_until(lambda: "SharingPending" in dict(node.api.events()), lambda: str(node.api.events()))
    assert "waits for the kubelet to let go of 1 devices" in run(*status(node))
