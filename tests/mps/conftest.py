"""A simulated machine with a keeper of MPS daemons, `kerf mps`."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TREE / "tests/sim"), str(TREE / "tests/node")]

from cuda import Client  # noqa: E402
from harness import KERF, Machine, wait_until  # noqa: E402

GIB = 1 << 30


class Keeper:
    def __init__(self, folder, name="p4d.24xlarge"):
        self.folder = folder
        self.machine = Machine(name, folder / "m")
        self.dir = folder / "r"
        self.uuid = self.machine.show()["gpus"][0]["uuid"]
        self.process, self.clients = None, []

    @property
    def env(self):
        return dict(os.environ, KERF_SIM_DIR=str(self.folder / "m"))

    def start(self):
        with open(self.folder / "keeper.log", "ab") as log:
            self.process = subprocess.Popen(
                [KERF, "mps", "--dir", self.dir, "--root", self.machine.root], env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def want(self, uuid=None):
        """A daemon for that GPU, ready."""
        uuid = uuid or self.uuid
        wait_until((self.dir / "want").exists, "the keeper's folder")
        (self.dir / "want" / uuid).touch()
        wait_until(lambda: self.is_ready(uuid), lambda: self.log())

    def is_ready(self, uuid):
        try:
            return self.ask("status", uuid=uuid)["state"] == "ACTIVE"
        except OSError:
            return False

    def ask(self, op, uuid=None, **more):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(20)
        s.connect(str(self.dir / (uuid or self.uuid) / "holder.sock"))
        s.sendall(json.dumps({"op": op, **more}).encode() + b"\n")
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
        s.close()
        return json.loads(answer)

    def slice(self, name, gib, percent=0, **more):
        """The folder of a new slice."""
        answer = self.ask("add", slice={"name": name, "bytes": int(gib * GIB), "percent": percent, **more})
        assert answer["ok"], answer
        return answer["folder"]

    def client(self, folder, wait=True, **env):
        env = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_VISIBLE_DEVICES": self.uuid, **env}
        sim = _Sim(self.folder / "m", self.machine.root)
        self.clients.append(Client(sim, env, wait=wait))
        return self.clients[-1]

    def events(self):
        return [(e["what"], e["slice"], e["sentence"]) for e in self.ask("status")["events"]]

    def holder(self):
        """The pid of the holder."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"hold" in words and str(self.dir).encode() in words:
                return int(pid)
        return None

    def log(self):
        return (self.folder / "keeper.log").read_text(errors="replace")[-3000:]

    def end(self):
        for client in self.clients:
            client.end()
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log()
            self.process = None


class _Sim:
    """What tests/sim/cuda.py asks of a machine."""

    def __init__(self, folder, root):
        self.folder = folder
        self.library = root / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"

    def env(self):
        return dict(os.environ, KERF_SIM_DIR=str(self.folder),
                    LD_LIBRARY_PATH=str(self.library.parent))


@pytest.fixture
def keeper():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="km-", dir="/tmp"))
    k = Keeper(folder)
    try:
        yield k.start()
        k.end()
    finally:
        if k.process:
            k.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
