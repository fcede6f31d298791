"""An agent on a simulated machine without MIG, with its plugin sockets in a directory of the test."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

GPU = "nvidia.com/gpu"
PATIENCE_S = 60


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not (got := condition()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.005)
    return got


class Agent:
    """kerf agent with 8 whole GPUs on offer; no kubelet is there unless a test brings one."""

    def __init__(self, kerf, folder):
        self.folder, self.log = folder, folder / "agent.log"
        self.sanitized = b"__asan_init" in pathlib.Path(kerf).read_bytes()
        self.directory, self.stopped = folder / "device-plugins", False
        for one in (self.directory, folder / "state", folder / "cdi"):
            one.mkdir()
        subprocess.run([kerf, "sim", "create", "p4d.24xlarge", folder / "machine"], check=True,
                       stdout=subprocess.DEVNULL)
        env = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "NODE_NAME")}
        self.process = subprocess.Popen(
            [kerf, "agent", "--root", folder / "machine/root", "--kubelet-dir", self.directory,
             "--cdi-dir", folder / "cdi", "--state-dir", folder / "state", "--node-name", "n",
             "--mig-strategy", "none"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.log, "wb"), env=env)

    def socket(self):
        """Of the resource's server; it is there before a kubelet is."""
        def one_that_listens():
            for path in self.directory.glob("kerf-*.sock"):
                with socket.socket(socket.AF_UNIX) as s:
                    if s.connect_ex(str(path)) == 0:
                        return path
        return wait_until(one_that_listens, f"a socket: {self.log.read_text(errors='replace')}")

    def memory_kib(self):
        for line in open(f"/proc/{self.process.pid}/smaps_rollup"):
            if line.startswith("Rss:"):
                return int(line.split()[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        """Once is enough; a process that ended by itself is a failure."""
        if not self.stopped:
            self.stopped = True
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text(errors="replace")


@pytest.fixture
def folder():
    """Shorter than pytest's: gRPC refuses a socket whose path is longer than 107 bytes."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="kf-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def agent(kerf, folder):
    one = Agent(kerf, folder)
    try:
        yield one
        one.stop()
    finally:
        one.process.kill()
        one.process.wait()
