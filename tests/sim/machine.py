"""A simulated machine, by `kerf sim`."""
import json
import os
import subprocess

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
