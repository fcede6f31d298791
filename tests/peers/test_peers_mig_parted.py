"""NVIDIA's mig-parted cuts simulated machines; kerf reads what it did, and the other way round."""
import signal

import pytest
import yaml

from harness import Agent, Kubelet, run, wait_until

PROGRAM = "bin/nvidia-mig-parted-0.13.1"
CONFIG = "src/mig-parted-v0.13.1/deployments/systemd/config-default.yaml"
MACHINES = {"p4d.24xlarge": ["all-1g.5gb", "all-balanced", "all-1g.5gb.me", "all-7g.40gb"],
            "p5.48xlarge": ["all-balanced", "all-3g.40gb", "all-1g.20gb"],
            "a30x4": ["all-balanced", "all-1g.6gb", "all-2g.12gb.me"],
            "p6-b200.48xlarge": ["all-1g.23gb"], "p5en.48xlarge": ["all-balanced"],
            "g7e.12xlarge": ["all-1g.24gb", "all-1g.24gb.gfx"]}
CASES = [(m, c) for m, configs in MACHINES.items() for c in configs]


class Parted:
    def __init__(self, machine, peer):
        self.machine, self.program, self.file = machine, peer(PROGRAM), peer(CONFIG)

    def __call__(self, verb, *args, check=True):
        return self.machine.run_inside(self.program, verb, *args, check=check)

    def is_as(self, config, file=None):
        done = self("assert", "-f", file or self.file, "-c", config, check=False)
        return done.returncode == 0


@pytest.fixture
def parted(here, peer, as_root):
    return lambda name, config=None: Parted(here(name, config), peer)


def kerf_on(machine, verb, *args, check=True):
    apart = machine.folder / "apart"
    return run(verb, *args, "--root", machine.root, "--state-dir", apart / "state", "--kubelet-dir",
               apart / "kubelet", "--cdi-dir", apart / "cdi", check=check)


@pytest.mark.parametrize("name,config", CASES, ids=["-".join(c) for c in CASES])
def test_applies_asserts_and_exports(parted, name, config):
    run_it = parted(name)
    machine = run_it.machine
    assert not run_it.is_as(config)
    assert "applied successfully" in run_it("apply", "-f", run_it.file, "-c", config)
    assert run_it.is_as(config)
    theirs, ours = run_it("export"), run("export", "--root", machine.root)
    assert yaml.safe_load(ours) == yaml.safe_load(theirs)  # kerf quotes and indents where they do not
    kerf_on(machine, "assert", "-f", run_it.file, "-c", config)
    before = machine.run("nvidia-smi", "-L")
    kerf_on(machine, "apply", "-f", run_it.file, "-c", config)
    assert machine.run("nvidia-smi", "-L") == before  # nothing left to do


@pytest.mark.parametrize("name,config", CASES, ids=["-".join(c) for c in CASES])
def test_accepts_what_kerf_did(parted, name, config):
    run_it = parted(name, config)
    assert run_it.is_as(config)
    file = run_it.machine.folder / "export.yaml"
    file.write_text(run("export", "--root", run_it.machine.root))
    assert run_it.is_as("current", file)
    run_it("apply", "-f", run_it.file, "-c", "all-disabled")
    assert not run_it.is_as("current", file)
    run_it("apply", "-f", file, "-c", "current")
    assert run_it.is_as(config)
    assert run("export", "--root", run_it.machine.root) == file.read_text()


def test_exports_of_a_node_of_many_models_are_worth_the_same(parted):
    """mig-parted tells models apart by filters, kerf by indices."""
    run_it = parted("mixed", "all-balanced")
    files = {"theirs": run_it("export"), "ours": run("export", "--root", run_it.machine.root)}
    for name, text in files.items():
        file = run_it.machine.folder / name
        file.write_text(text)
        kerf_on(run_it.machine, "assert", "-f", file, "-c", "current")
        assert run_it.is_as("current", file), name


def test_ampere_with_a_client_stays_pending_and_is_an_error(parted):
    run_it = parted("p4d.24xlarge")
    run("sim", "process", run_it.machine.dir, "add", "--gpu", 3, "--pid", 4003, "--kind",
        "holder")
    done = run_it("apply", "-f", run_it.file, "-c", "all-1g.5gb", check=False)
    assert done.returncode != 0
    assert not run_it.is_as("all-1g.5gb")
    assert run("sim", "show", run_it.machine.dir).count("MIG on") == 7


def test_a_running_agent_offers_what_mig_parted_makes(parted):
    """Hopper: nothing need be reset, so the agent may be there.

    Taking slices down is another matter: the agent has them open, as NVIDIA's plugin would, and the
    driver calls that "in use".  Once it has ended, mig-parted may.
    """
    run_it = parted("p5.48xlarge")
    kubelet = Kubelet(run_it.machine.folder)
    agent = Agent(run_it.machine.folder, run_it.machine, kubelet, None)
    kubelet.start()

    def offers(**counts):
        wanted = {"nvidia.com/" + r.replace("_", "-"): n for r, n in counts.items()}
        wait_until(lambda: kubelet.allocatable() == wanted,
                   lambda: f"{wanted}; there is {kubelet.allocatable()}\n{agent.log()}", 60)

    try:
        agent.start("--mig-strategy", "mixed")
        offers(gpu=8)
        run_it("apply", "-f", run_it.file, "-c", "all-balanced")
        offers(**{"mig_1g.10gb": 16, "mig_2g.20gb": 8, "mig_3g.40gb": 8})
        assert run_it("apply", "-f", run_it.file, "-c", "all-3g.40gb", check=False).returncode != 0
        agent.stop()
        run_it("apply", "-f", run_it.file, "-c", "all-3g.40gb")
        agent.start()
        offers(**{"mig_3g.40gb": 16})
        agent.stop()
    finally:
        agent.end(signal.SIGKILL)
        kubelet.stop()
