"""The agent under test, on a simulated machine, as one node's DaemonSet pod would run it."""
import os
import signal
import subprocess

from cluster import NODE, wait_for


class Agent:
    """One agent process; may be killed and started again on the same state."""

    def __init__(self, kerf, machine, cluster, kubeconfig, folder):
        self.kerf, self.machine, self.cluster = kerf, machine, cluster
        self.kubeconfig, self.folder = kubeconfig, folder
        self.log_path = folder / "agent.log"
        self.process, self.flags = None, []

    def start(self, *flags):
        """Flags are kept for the next start."""
        assert self.process is None, "the agent runs already"
        self.flags = list(flags) or self.flags
        command = [self.kerf, "agent", "--root", self.machine / "root",
                   "--kubeconfig", self.kubeconfig, "--node-name", NODE,
                   "--state-dir", self.folder / "state", "--cdi-dir", self.cluster.cdi_dir,
                   *self.flags]
        env = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def _end(self, how):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(how)
            status = self.process.wait(30)
            self.process = None
            return status
        return None

    def kill(self):
        """kill -9."""
        assert self.alive(), f"the agent ended by itself:\n{self.log()}"
        self._end(signal.SIGKILL)

    def stop(self):
        """SIGTERM; answers the exit status."""
        return self._end(signal.SIGTERM)

    def restart(self):
        self.stop()
        self.start()

    def log(self, lines=40):
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def wait_logged(self, text, seconds=30):
        wait_for(lambda: f"'{text}' in the agent's log:\n{self.log()}",
                 lambda: self.log_path.exists() and text in self.log_path.read_text(errors="replace"),
                 seconds)
