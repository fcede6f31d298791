"""--with-reboot: once, with the Node told first, and never twice for the same."""
import os

import pytest

from harness import wait_until


@pytest.fixture
def rebooted(tmp_path, monkeypatch):
    """A `chroot` before the real one on PATH, which writes down what it was asked."""
    log = tmp_path / "asked"
    script = tmp_path / "chroot"
    script.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return lambda: log.read_text().splitlines() if log.exists() else []


def test_a_mode_that_stays_pending_reboots_the_node_once(node, rebooted):
    node.machine.sim("process", "add", "--gpu", 2, "--pid", 77, "--kind", "holder")
    node.start("--with-reboot")
    node.api.label("all-balanced")
    node.wait_state("rebooting")
    wait_until(rebooted, "the reboot is asked for")
    assert rebooted() == [f"{node.machine.root} reboot"]
    # the machine comes up and the client is there again: not another time
    node.agent.kill()
    node.agent.start()
    node.wait_state("failed")
    assert "after a reboot" in node.api.reason()
    assert len(rebooted()) == 1
    # and up again without the client
    node.machine.sim("process", "remove", "--pid", 77)
    node.agent.restart()
    node.wait_state("success")


def test_without_the_flag_nothing_is_rebooted(node, rebooted):
    node.machine.sim("process", "add", "--gpu", 2, "--pid", 77, "--kind", "holder")
    node.start()
    node.relabel("all-balanced", "pending")
    wait_until(lambda: "gpu 2" in node.api.reason(), "the reason names the GPU")
    assert rebooted() == []
