"""A simulated machine for others' programs: cut as asked, and seen by what is started on it."""
import os
import pathlib
import subprocess

from harness import KERF, run
from states import CUSTOM, CUSTOM_NAMES

HERE = pathlib.Path(__file__).resolve().parent
PEERS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kerf/peers"


class Here:
    """A machine in folder/m, and folders for what programs leave."""

    def __init__(self, folder, name, config=None, *options):
        self.folder, self.name, self.dir = folder, name, folder / "m"
        self.root, self.cdi, self.kubelet = self.dir / "root", folder / "cdi", folder / "device-plugins"
        self.cdi.mkdir()
        self.kubelet.mkdir()
        run("sim", "create", name, self.dir, *options)
        if config:
            self.apply(config)

    def apply(self, config):
        """By kerf, leaving nothing but the geometry."""
        custom = []
        if config in CUSTOM_NAMES:
            (self.folder / "mig.yaml").write_text(CUSTOM)
            custom = ["-f", self.folder / "mig.yaml"]
        apart = self.folder / "apart"
        run("apply", "-c", config, *custom, "--root", self.root, "--state-dir", apart / "state",
            "--kubelet-dir", apart / "kubelet", "--cdi-dir", apart / "cdi")

    @property
    def library_path(self):
        return self.root / "usr/lib/x86_64-linux-gnu"

    def env(self, **more):
        ours = {"KERF": str(KERF), "KERF_SIM_DIR": str(self.dir), "LD_LIBRARY_PATH": str(self.library_path),
                "PATH": f"{self.root}/usr/bin:{os.environ['PATH']}", "CDI_DIR": str(self.cdi),
                "KUBELET_DIR": str(self.kubelet)}
        return {**os.environ, **ours, **more}

    def run(self, *command, check=True, **more):
        """A program that finds the driver's library by its loader; its standard output."""
        done = subprocess.run([str(c) for c in command], env=self.env(**more), text=True, timeout=120,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout if check else done

    def run_inside(self, *command, **more):
        """One that looks at /proc, /sys, /run/cdi and the kubelet's folder as well."""
        return self.run(HERE / "inside", self.dir, *command, **more)
