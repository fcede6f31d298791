"""`kerf labels` on every simulated machine, in every MIG and sharing state, against tables.

KERF_WRITE_GOLDEN=1 writes the tables anew, to be read before they are committed (README.md).
"""
import json
import os
import pathlib
import subprocess
import time

import pytest

from states import CUSTOM, CUSTOM_NAMES, SHARING, cases, config_of, file_name

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
STATES = sorted({case[:2] for case in cases()})
WRITE = os.environ.get("KERF_WRITE_GOLDEN")


class Machine:
    """A simulated machine in a MIG state."""

    def __init__(self, kerf, folder, name, state="off"):
        self.kerf, self.root, self.folder = kerf, folder / "m/root", folder
        self.run("sim", "create", name, folder / "m")
        config = config_of(name, state)
        if config:
            self.apply(config)

    def apply(self, config):
        custom = []
        if config in CUSTOM_NAMES:
            (self.folder / "mig.yaml").write_text(CUSTOM)
            custom = ["-f", self.folder / "mig.yaml"]
        self.run("apply", "-c", config, *custom, "--root", self.root, "--state-dir",
                 self.folder / "state", "--kubelet-dir", self.folder / "kubelet", "--cdi-dir",
                 self.folder / "cdi")

    def run(self, *args, check=True):
        done = subprocess.run([self.kerf, *args], text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout if check else done

    def labels(self, *args):
        return self.run("labels", "--root", self.root, *args)

    def env(self):
        return dict(os.environ, KERF_SIM_DIR=str(self.folder / "m"),
                    LD_LIBRARY_PATH=str(self.root / "usr/lib/x86_64-linux-gnu"))


@pytest.fixture
def machine(kerf, tmp_path):
    return lambda name, state="off": Machine(kerf, tmp_path, name, state)


def sharing_of(case):
    strategy = {"exclusive": "none", "mps": "mps"}.get(case[3], "time-slicing")
    return strategy, SHARING[case[3]]


def told_by_nvml(made, venv, case):
    """The same table, by another program and NVIDIA's bindings."""
    sharing, shares = sharing_of(case)
    done = subprocess.run([venv / "bin/python", HERE / "expected.py", made.root, case[2], sharing,
                           *shares], env=made.env(), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told_by_kerf(made, case):
    sharing, shares = sharing_of(case)
    args = [a for share in shares for a in ("--replicas", share)]
    return made.labels("--no-timestamp", "--mig-strategy", case[2], "--sharing", sharing, *args)


@pytest.mark.parametrize("name,state", STATES, ids=["-".join(s) for s in STATES])
def test_labels_are_those_of_the_table(machine, venv, name, state):
    made = machine(name, state)
    for case in [c for c in cases() if c[:2] == (name, state)]:
        labels, file = told_by_kerf(made, case), GOLDEN / file_name(case)
        if WRITE:
            file.write_text(labels)
        assert labels == file.read_text(), file.name
        assert labels == told_by_nvml(made, venv, case), file.name


def test_there_is_no_table_of_what_is_not_tested():
    assert {f.name for f in GOLDEN.iterdir()} == {file_name(c) for c in cases()}


def test_every_label_of_every_table_may_stand_on_a_node():
    for file in GOLDEN.iterdir():
        for line in file.read_text().splitlines():
            key, value = line.split("=")
            name = key.removeprefix("nvidia.com/")
            assert name != key and len(name) <= 63 and len(value) <= 63, line
            ends = name[:1] + name[-1:] + value[:1] + value[-1:]
            assert ends.isalnum() and ends.isascii(), line


def test_json_says_the_same_as_the_lines(machine):
    made = machine("p4d.24xlarge", "balanced")
    args = ("--mig-strategy", "mixed", "--no-timestamp")
    lines = dict(line.split("=") for line in made.labels(*args).splitlines())
    assert json.loads(made.labels("-o", "json", *args)) == lines


def test_the_timestamp_is_that_of_the_start(machine):
    made = machine("g4dn.xlarge")
    before = int(time.time())
    labels = json.loads(made.labels("-o", "json"))
    assert before <= int(labels["nvidia.com/gfd.timestamp"]) <= int(time.time())


def test_labels_go_with_the_hardware(machine):
    made = machine("p4d.24xlarge", "equal")
    made.run("sim", "lose", made.folder / "m", "7")
    labels = json.loads(made.labels("-o", "json", "--mig-strategy", "mixed"))
    assert labels["nvidia.com/gpu.count"] == "7"
    assert labels["nvidia.com/mig-1g.5gb.count"] == "49"


CONFIG = """\
version: v1
flags: {migStrategy: mixed}
sharing:
  timeSlicing:
    renameByDefault: true
    resources: [{name: nvidia.com/mig-1g.5gb, replicas: 3}]
"""


def test_a_configuration_file_says_strategy_and_replicas(machine):
    made = machine("p4d.24xlarge", "equal")
    file = made.folder / "config.yaml"
    file.write_text(CONFIG)
    labels = json.loads(made.labels("-o", "json", "--config-file", file))
    assert labels["nvidia.com/mig.strategy"] == "mixed"
    assert labels["nvidia.com/mig-1g.5gb.replicas"] == "3"
    assert labels["nvidia.com/mig-1g.5gb.sharing-strategy"] == "time-slicing"
    assert labels["nvidia.com/mig-1g.5gb.product"] == "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"


@pytest.mark.parametrize("args,says", [
    (["-o", "yaml"], "json or nfd"),
    (["--mig-strategy", "double"], "double"),
    (["--replicas", "gpu"], "RESOURCE=N"),
    (["--replicas", "gpu=1"], "from 2"),
    (["--config-file", "/no/such/file"], "/no/such/file"),
    (["--replicas", "gpu=2:other"], "renamed"),
    (["--sharing", "equal"], "time-slicing"),
    (["more"], "'more'"),
])
def test_refuses_a_wrong_command_line(machine, args, says):
    done = machine("g4dn.xlarge").run("labels", *args, check=False)
    assert done.returncode == 2
    assert says in done.stderr and done.stdout == ""
