"""One MPS control daemon of a simulated machine, by its program."""
import os
import pathlib
import signal
import subprocess
import time

from cuda import Client

GIB = 1024


def await_(what, condition, seconds=10):
    """Wait until condition() is true, and answer it."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"{what}: not in {seconds} s"
        time.sleep(0.005)
    return value


class Mps:
    def __init__(self, machine, folder, *options, device=None, env=None):
        self.machine, self.folder = machine, pathlib.Path(folder)
        self.pipe, self.logs = self.folder / "pipe", self.folder / "log"
        self.uuid = device or machine.show()["gpus"][0]["uuid"]
        self.env = dict(machine.env(), CUDA_MPS_PIPE_DIRECTORY=str(self.pipe),
                        CUDA_MPS_LOG_DIRECTORY=str(self.logs), CUDA_VISIBLE_DEVICES=self.uuid,
                        **(env or {}))
        self.clients = []
        started = self.run("-d", *options)
        assert started.returncode == 0, started.stdout + started.stderr
        self.pid = int((self.pipe / "nvidia-cuda-mps-control.pid").read_text())

    @property
    def program(self):
        return self.machine.dir / "root/usr/bin/nvidia-cuda-mps-control"

    def run(self, *options, text=""):
        return subprocess.run([self.program, *options], input=text, env=self.env, text=True,
                              capture_output=True, timeout=30)

    def do(self, command):
        """What the daemon answers."""
        return self.run(text=command + "\n").stdout

    def server(self):
        """The one server's pid, when there is one."""
        return int(self.do("get_server_list") or 0)

    def start(self, memory=None, percent=None):
        """A server with these limits for all clients to come: its pid."""
        self.do(f"start_server -uid {os.getuid()}")
        server = await_("a server", self.server)
        await_("it is ready", lambda: self.status(server) == "ACTIVE")
        self.limit(server, memory, percent)
        return server

    def limit(self, server, memory=None, percent=None):
        if memory:
            self.do(f"set_device_pinned_mem_limit {server} 0 {memory}")
        if percent:
            self.do(f"set_active_thread_percentage {server} {percent}")

    def status(self, server):
        return self.do(f"get_server_status {server}").strip()

    def client(self, env=None, wait=True, **how):
        names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_VISIBLE_DEVICES")
        own = {name: self.env[name] for name in names}
        self.clients.append(Client(self.machine, dict(own, **(env or {})), wait=wait, **how))
        return self.clients[-1]

    def log(self, name="server"):
        return (self.logs / f"{name}.log").read_text()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def end(self):
        for client in self.clients:
            client.end()
        servers = self.servers()
        for pid in (self.pid, *servers):
            try:
                os.kill(pid, signal.SIGTERM if pid == self.pid else signal.SIGKILL)
            except ProcessLookupError:
                pass
            await_("its end", lambda: not alive(pid))

    def servers(self):
        """The pids of its servers, orphans too: a deaf one outlives its daemon."""
        rows = [p for gpu in self.machine.show()["gpus"] for p in gpu["processes"]]
        return [p["pid"] for p in rows if p["kind"] == "mps-server" and str(self.pipe).encode() in
                environment(p["pid"])]


def environment(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except FileNotFoundError:  # it has just ended
        return b""


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
