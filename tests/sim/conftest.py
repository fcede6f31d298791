"""A simulated machine for each test."""
import json
import os
import subprocess

import pytest

from nvml import Nvml


class Machine:
    def __init__(self, kerf, folder, name, *options):
        self.kerf, self.dir = kerf, folder
        self.sim("create", name, folder, *options)

    def sim(self, verb, *args, check=True):
        done = subprocess.run([self.kerf, "sim", verb, *map(str, args)], capture_output=True,
                              text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout if check else done

    def do(self, verb, *args, check=True):
        """kerf sim VERB DIR ARGS"""
        return self.sim(verb, self.dir, *args, check=check)

    def show(self):
        return json.loads(self.do("show", "-o", "json"))

    @property
    def library(self):
        return self.dir / "root/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"

    def env(self):
        return dict(os.environ, KERF_SIM_DIR=str(self.dir),
                    LD_LIBRARY_PATH=str(self.library.parent))

    def open(self):
        nvml = Nvml(self.library)
        nvml.call("Init_v2")
        return nvml


@pytest.fixture
def machine(kerf, tmp_path):
    """machine("p4d.24xlarge") makes one; they end with the test."""
    made = []

    def make(name, *options):
        made.append(Machine(kerf, tmp_path / f"machine{len(made)}", name, *options))
        return made[-1]

    return make


@pytest.fixture
def driver(machine):
    """driver("p4d.24xlarge") makes a machine and opens its driver library: (machine, nvml)."""
    opened = []

    def make(name, *options):
        made = machine(name, *options)
        opened.append(made.open())
        return made, opened[-1]

    yield make
    for nvml in opened:
        nvml.try_("Shutdown")
