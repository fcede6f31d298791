"""The cluster of cluster.sh, for test cases: objects in and out as Python values."""
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
NODE = "127.0.0.1"
MIG_CONFIG = "nvidia.com/mig.config"
MIG_STATE = "nvidia.com/mig.config.state"
REASON = "kerf.dev/mig-config-reason"


def wait_for(what, condition, seconds=30, every=0.2):
    """The first truthy answer of condition(); else fails the case, saying what was awaited.

    `what` is a sentence, or a function that makes one when it is needed.
    """
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: {what() if callable(what) else what}")
        time.sleep(every)


def quantity(text):
    """The number that a Kubernetes quantity of whole things stands for: the server says 10k."""
    scale = {"k": 1000, "M": 1000000}.get(text[-1:], 1)
    return int(text.rstrip("kM")) * scale


class Cluster:
    def __init__(self, state):
        self.state = pathlib.Path(state)
        self.env = dict(os.environ, KUBE_STATE=str(state))
        self.cdi_dir = self.state / "cdi"
        self.admin = self.state / "admin.kubeconfig"

    def sh(self, *args, check=True):
        """cluster.sh with these arguments; what it printed."""
        done = subprocess.run([HERE / "cluster.sh", *args], env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise AssertionError(f"cluster.sh {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(self, *args, given=None, check=True):
        done = subprocess.run([HERE / "cluster.sh", "kubectl", *args], env=self.env, text=True,
                              capture_output=True, input=given or "")
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr}")
        return done.stdout

    def ask(self, url):
        """GET as the cluster's admin; the body, or None while nobody answers there."""
        trust = ssl.create_default_context(cafile=self.state / "pki/ca.crt")
        trust.load_cert_chain(self.state / "pki/admin.crt", self.state / "pki/admin.key")
        try:
            with urllib.request.urlopen(url, context=trust, timeout=30) as answer:
                return answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{url}: {error.read().decode(errors='replace')}") from None
        except (urllib.error.URLError, OSError):
            return None

    def get(self, path):
        """An object of the API, or the items of a list, by its path below /api/v1."""
        text = self.ask(f"https://127.0.0.1:6443/api/v1/{path}")
        assert text is not None, "the API server is not there"
        found = json.loads(text)
        return found["items"] if found["kind"].endswith("List") else found

    def minor(self):
        """36 of Kubernetes 1.36."""
        return int(json.loads(self.ask("https://127.0.0.1:6443/version"))["minor"].rstrip("+"))

    def create(self, *objects):
        """Creates all of them by one request of kubectl."""
        self.kubectl("create", "-f", "-", given=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    # ------------------------------------------------------------ the kubelet

    def pid(self, program):
        return int((self.state / "pid" / program).read_text())

    def alive(self, program):
        return os.path.exists(f"/proc/{self.pid(program)}/exe")

    def restart_kubelet(self):
        self.sh("restart", "kubelet")
        wait_for("the kubelet answers", lambda: self.metrics() is not None)

    def metrics(self):
        """The kubelet's metrics as text; None while it does not answer."""
        return self.ask("https://127.0.0.1:10250/metrics")

    def registrations(self, resource):
        """How often a plugin for this resource has registered with the present kubelet."""
        found = re.search(rf'^kubelet_device_plugin_registration_total{{resource_name="{resource}"}}'
                          r" (\d+)", self.metrics() or "", re.M)
        return int(found[1]) if found else 0

    def wait_registered(self, resource, more_than=0):
        wait_for(f"{resource} is registered with the kubelet more than {more_than} times",
                 lambda: self.registrations(resource) > more_than)

    # ------------------------------------------------------------ the node

    def node(self):
        return self.get(f"nodes/{NODE}")

    def labels(self):
        return self.node()["metadata"]["labels"]

    def label(self, key, value):
        """Sets a label of the node; None removes it."""
        self.kubectl("label", "node", NODE, "--overwrite",
                     f"{key}-" if value is None else f"{key}={value}")

    def reason(self):
        """Why the last configuration could not be had, as the agent wrote it on the node."""
        return self.node()["metadata"].get("annotations", {}).get(REASON, "")

    def allocatable(self):
        """Devices the node offers now, by resource; one that it has none of is left out."""
        found = self.node()["status"]["allocatable"].items()
        return {name: quantity(n) for name, n in found
                if name.startswith("nvidia.com/") and quantity(n)}

    def wait_allocatable(self, wanted, seconds=60):
        wait_for(lambda: f"allocatable is {self.allocatable()}, not {wanted}: {self.reason()}",
                 lambda: self.allocatable() == wanted, seconds)

    def wait_state(self, wanted, seconds=60):
        wait_for(lambda: f"{MIG_STATE} is {self.labels().get(MIG_STATE)}, not {wanted}: {self.reason()}",
                 lambda: self.labels().get(MIG_STATE) == wanted, seconds)

    def events(self, since=None):
        """(reason, message) of the Node's events, the newest last, after a moment of now()."""
        found = self.get("namespaces/default/events?fieldSelector="
                         f"involvedObject.kind%3DNode,involvedObject.name%3D{NODE}")
        rows = []
        for e in found:
            when = (e.get("series") or {}).get("lastObservedTime") or e.get("lastTimestamp") \
                or e.get("eventTime") or ""
            rows.append((when[:19], e["reason"], e.get("message", "")))
        return [(reason, message) for when, reason, message in sorted(rows)
                if since is None or when >= since]

    @staticmethod
    def now():
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    # ------------------------------------------------------------ pods

    def pods(self, prefix=""):
        """Pods of the namespace default, by name."""
        return {p["metadata"]["name"]: p for p in self.get("namespaces/default/pods")
                if p["metadata"]["name"].startswith(prefix)}

    def phases(self, prefix=""):
        """How many pods are in each phase, a running one being Ready too."""
        count = {}
        for pod in self.pods(prefix).values():
            phase = pod["status"]["phase"]
            if phase == "Running" and not is_ready(pod):
                phase = "Starting"
            count[phase] = count.get(phase, 0) + 1
        return count

    def wait_phases(self, wanted, prefix="", seconds=60):
        wait_for(lambda: f"pods {prefix}* are {self.phases(prefix)}, not {wanted}\n"
                         f"{self.troubles(prefix)}",
                 lambda: self.phases(prefix) == wanted, seconds)

    def wait_settled(self, n, seconds=60):
        """Until each of n pods runs, has failed, or was found not to fit."""
        def settled():
            pods = self.pods().values()
            return len(pods) == n and all(
                p["status"]["phase"] == "Failed" or is_ready(p) or "Insufficient" in str(p["status"])
                for p in pods)
        wait_for(lambda: f"{n} pods are not all decided on: {self.phases()}\n{self.troubles()}",
                 settled, seconds, every=1)

    def troubles(self, prefix=""):
        """A line for each pod that does not run, with what the kubelet or scheduler says of it."""
        lines = []
        for name, pod in self.pods(prefix).items():
            status = pod["status"]
            if status["phase"] == "Running" and is_ready(pod):
                continue
            said = [status.get("reason", ""), status.get("message", "")]
            said += [c.get("message", "") for c in status.get("conditions", [])]
            said += [str(c.get("state", {}).get("waiting", "")) for c in
                     status.get("containerStatuses", [])]
            lines.append(f"{name}: {status['phase']} {' '.join(filter(None, said))}")
        return "\n".join(lines[:10])

    def delete_pods(self, *names):
        """And waits until they are gone; without names, all."""
        which = list(names) if names else ["--all"]
        self.kubectl("delete", "pod", *which, "--grace-period=1", "--timeout=120s")

    def restart_container(self, name):
        """Ends its program; the kubelet starts it anew, with the devices that the pod had."""
        def status():
            return self.pods()[name]["status"]["containerStatuses"][0]
        before = status()
        cid = before["containerID"].rpartition("/")[2]
        rows = self.sh("ctr", "tasks", "ls").splitlines()
        os.kill(next(int(r.split()[1]) for r in rows if r.startswith(cid)), signal.SIGKILL)
        wait_for(lambda: f"{name} runs again: {self.troubles(name)}",
                 lambda: (s := status())["restartCount"] == before["restartCount"] + 1
                 and s["ready"], 90)

    def log(self, pod):
        return self.ask(f"https://127.0.0.1:6443/api/v1/namespaces/default/pods/{pod}/log")


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True"
               for c in pod["status"].get("conditions", []))


def containers(pod):
    """What tells a container from a later one of its pod: id and start time."""
    return [(c["containerID"], c["state"]["running"]["startedAt"])
            for c in pod["status"]["containerStatuses"]]
