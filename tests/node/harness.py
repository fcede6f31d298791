"""One simulated node for tests: a machine, a kubelet, an API server and the real agent.

Everything lives below one short temporary folder (names of unix sockets are at most 107 bytes) and
every program is ended by its own process id.  Nothing here sleeps for luck: what takes time is
awaited by wait_until, which fails with a sentence.

The kubelet's lists are watched as they arrive.  Two things must hold at each of them, whatever a
test is about, and are kept as `kubelet.wrongs` (Node.check looks there):

  - a device that is listed for the first time, as Healthy, is in the CDI file already;
  - a device leaves the list only when its slice is gone from the machine.
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
KERF = pathlib.Path(os.environ.get("KERF")
                    or pathlib.Path(os.environ.get("KERF_BUILD", TREE / "build")) / "kerf")
NODE = "node-1"
CONFIG, STATE = "nvidia.com/mig.config", "nvidia.com/mig.config.state"
REASON = "kerf.dev/mig-config-reason"
MIG_1G = "nvidia.com/mig-1g.5gb"
PATIENCE_S = float(os.environ.get("KERF_TEST_PATIENCE", 30))


def wait_until(condition, message, seconds=None):
    """The condition's first true value; `message` (text, or a function that makes it) on failure."""
    end = time.monotonic() + (seconds or PATIENCE_S)
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain: " + (message() if callable(message) else message))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def run(*args, check=True, env=None):
    """kerf with these arguments; what it printed on standard output."""
    done = subprocess.run([KERF, *map(str, args)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120,
                          env=env or quiet_env())
    if check and done.returncode:
        raise AssertionError(f"kerf {' '.join(map(str, args))}: status {done.returncode}: "
                             f"{done.stderr}{done.stdout}")
    return done.stdout if check else done


def quiet_env():
    """Our environment without what would speak of another machine or cluster."""
    drop = {"KUBECONFIG", "KERF_SIM_DIR", "NODE_NAME", "MIG_STRATEGY", "KUBERNETES_SERVICE_HOST"}
    return {k: v for k, v in os.environ.items() if k not in drop}


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_with_us():
    """In a child: killed when the thread that started it is gone, also by kill -9."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A process of ours."""

    def __init__(self, log):
        self.log_path, self.process = log, None

    def launch(self, command, **pipes):
        assert self.process is None, f"{command[0]} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stderr=log,
                                            env=quiet_env(), preexec_fn=end_with_us, **pipes)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def end(self, how=signal.SIGTERM, seconds=30):
        """The exit status, negative for a signal; None if there was nothing to end."""
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(how)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args[:3]} did not end in {seconds} s")
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()

    def log(self, lines=30):
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def logged(self, text):
        return self.log_path.exists() and text in self.log_path.read_text(errors="replace")

    def memory_kib(self, field="Rss"):
        """Of smaps_rollup: Rss, Anonymous, ..."""
        for line in open(f"/proc/{self.process.pid}/smaps_rollup"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {field} in smaps_rollup")

    def status_field(self, field):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {field} in status")


class Machine:
    """A simulated machine, `kerf sim create NAME DIR`."""

    def __init__(self, name, folder):
        self.name, self.dir = name, folder
        run("sim", "create", name, folder)

    @property
    def root(self):
        return self.dir / "root"

    def show(self):
        return json.loads(run("sim", "show", self.dir, "-o", "json"))

    def sim(self, verb, *args, check=True):
        return run("sim", verb, self.dir, *args, check=check)

    def fault(self, call, *args):
        self.sim("fault", call, *args)

    def slices(self, show=None):
        """MIG UUID to (gpu, profile, start, generation) of every MIG device."""
        found = {}
        for g, gpu in enumerate((show or self.show())["gpus"]):
            for gi in gpu.get("instances", []):
                for ci in gi.get("compute", []):
                    found[ci["uuid"]] = (g, gi["profile"], gi["start"], ci.get("generation"))
        return found

    def profiles(self, gpu=None):
        """How many of each profile there are: {"1g.5gb": 56}, on one GPU or all."""
        count = {}
        for g, profile, _, _ in self.slices().values():
            if gpu is None or g == gpu:
                count[profile] = count.get(profile, 0) + 1
        return count


class Kubelet(Program):
    """The stand-in kubelet: JSON lines in, JSON lines out."""

    def __init__(self, folder):
        super().__init__(folder / "kubelet.log")
        self.dir = folder / "device-plugins"
        self.events, self.answers = [], []
        self.lists = {}    # resource -> {id: healthy}, the latest
        self.wrongs = []   # see above
        self.on_list = []  # functions (resource, before, after), called at each list
        self.changed = threading.Condition()
        self.asking = threading.Lock()  # one question at a time: answers carry no name
        self.reader = None

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        self.launch([KERF, "sim", "kubelet", self.dir], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        wait_until((self.dir / "kubelet.sock").exists, "the kubelet's socket")

    def _read(self, stream):
        for line in stream:
            message = json.loads(line)
            message["at"] = time.monotonic()
            with self.changed:
                if "event" in message:
                    self._take_event(message)
                else:
                    self.answers.append(message)
                self.changed.notify_all()

    def _take_event(self, message):
        self.events.append(message)
        if message["event"] != "list":
            return
        resource = message["resource"]
        before = self.lists.get(resource, {})
        after = {d["id"]: d["healthy"] for d in message["devices"]}
        self.lists[resource] = after
        for check in self.on_list:
            check(resource, before, after)

    def ask(self, op, **fields):
        """One command and its answer."""
        with self.asking, self.changed:
            seen = len(self.answers)
            self.process.stdin.write((json.dumps({"op": op, **fields}) + "\n").encode())
            self.process.stdin.flush()
            if not self.changed.wait_for(lambda: len(self.answers) > seen, PATIENCE_S):
                raise AssertionError(f"the kubelet does not answer {op}")
            return self.answers[seen]

    def add(self, pod, resources=None, **more):
        if not isinstance(resources, dict):
            resources = {resources or MIG_1G: 1}
        return self.ask("add", pod=pod, resources=resources, **more)

    def delete(self, pod):
        return self.ask("delete", pod=pod)

    def state(self):
        return self.ask("state")

    def pods(self):
        return self.state()["pods"]

    def capacity(self):
        return {k: v["capacity"] for k, v in self.state()["resources"].items() if v["capacity"]}

    def allocatable(self):
        return {k: v["allocatable"] for k, v in self.state()["resources"].items()
                if v["allocatable"]}

    def held(self):
        """Device id to the names of the pods that have it, running ones only."""
        held = {}
        for name, pod in self.pods().items():
            if pod["phase"] == "Running":
                for ids in pod["devices"].values():
                    for one in ids:
                        held.setdefault(one, []).append(name)
        return held

    def stop(self):
        if self.process is not None:
            self.end(signal.SIGTERM)
            self.reader.join(10)


class ApiServer(Program):
    """The stand-in API server."""

    def __init__(self, folder, tls=False, token=None):
        super().__init__(folder / "apiserver.log")
        self.kubeconfig, self.tls, self.token = folder / "kubeconfig", tls, token
        self.port, self.url, self.trust = 0, "", None

    def start(self):
        flags = (["--tls"] if self.tls else []) + (["--token", self.token] if self.token else [])
        self.kubeconfig.unlink(missing_ok=True)
        self.launch([KERF, "sim", "apiserver", "--port", self.port, "--kubeconfig",
                     self.kubeconfig, *flags], stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL)
        wait_until(lambda: self.kubeconfig.exists() or not self.alive(), "the API server")
        assert self.alive(), self.log()
        self.url = next(line.split()[-1].strip('"') for line in
                        self.kubeconfig.read_text().splitlines() if "server:" in line)
        self.port = int(self.url.rsplit(":", 1)[1])
        self.trust = ssl._create_unverified_context() if self.tls else None
        wait_until(self.answers, "the API server answers")

    def answers(self):
        try:
            self.get("/sim/stats")
            return True
        except OSError:
            return False

    def call(self, method, path, body=None, kind="application/json", check=True):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", kind)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.trust) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            if check:
                raise AssertionError(f"{method} {path}: {error.code} {error.read()}") from error
            return None

    def get(self, path, check=True):
        return self.call("GET", path, check=check)

    def create_node(self, **labels):
        return self.call("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}})

    def node(self):
        return self.get(f"/api/v1/nodes/{NODE}")

    def label(self, value, key=CONFIG):
        """kubectl label --overwrite; None takes it away."""
        self.call("PATCH", f"/api/v1/nodes/{NODE}", {"metadata": {"labels": {key: value}}},
                  "application/merge-patch+json")

    def get_label(self, key=STATE):
        return self.node()["metadata"].get("labels", {}).get(key)

    def reason(self):
        return self.node()["metadata"].get("annotations", {}).get(REASON, "")

    def events(self):
        """(reason, note) of every Event."""
        found = []
        for e in self.get("/api/v1/events")["items"]:
            found.append((e.get("reason", ""), e.get("message") or e.get("note") or ""))
        return found

    def add_pod(self, name, uid=None, **labels):
        self.call("POST", "/api/v1/namespaces/default/pods", {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": labels, "uid": uid,
                         "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                                              "name": "r", "uid": "u", "controller": True}]},
            "spec": {"nodeName": NODE}, "status": {"phase": "Running"}})

    def end_pod(self, name, grace=30):
        """As `kubectl delete`: marked, and gone once the kubelet says so (or at once, by 0)."""
        self.call("DELETE",
                  f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds={grace}")

    def pod(self, name):
        return self.get(f"/api/v1/namespaces/default/pods/{name}", check=False)

    def trouble(self, what, **knobs):
        self.call("POST", f"/sim/{what}", knobs)

    def stop(self):
        self.end(signal.SIGTERM)


class Agent(Program):
    """kerf agent."""

    def __init__(self, folder, machine, kubelet, api):
        super().__init__(folder / "agent.log")
        self.folder, self.machine, self.kubelet, self.api = folder, machine, kubelet, api
        self.state_dir, self.cdi_dir = folder / "state", folder / "cdi"
        self.flags = []
        self.resets = 0

    def command(self):
        words = [KERF, "agent", "--root", self.machine.root, "--state-dir", self.state_dir,
                 "--cdi-dir", self.cdi_dir, "--kubelet-dir", self.kubelet.dir, "--node-name", NODE]
        if self.api:
            words += ["--kubeconfig", self.api.kubeconfig]
        return words + self.flags

    def start(self, *flags):
        """Flags are kept for the next start."""
        self.flags = list(flags) or self.flags
        self.state_dir.mkdir(exist_ok=True)
        self.cdi_dir.mkdir(exist_ok=True)
        self.launch(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self):
        status = self.end(signal.SIGTERM)
        assert status in (0, None), f"the agent ended with {status}:\n{self.log()}"

    def kill(self):
        assert self.alive(), f"the agent ended by itself:\n{self.log()}"
        self.end(signal.SIGKILL)

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def ask(self):
        """`kerf status`, or {} while the agent does not answer."""
        done = run("status", "-o", "json", "--root", self.machine.root, "--state-dir",
                   self.state_dir, "--kubelet-dir", self.kubelet.dir, check=False)
        status = json.loads(done.stdout) if done.returncode == 0 else {}
        return status if status.get("source") == "agent" else {}

    def status(self):
        return wait_until(lambda: self.ask() or not self.alive() and {"dead": True},
                          lambda: f"the agent answers `kerf status`:\n{self.log()}")

    def counts(self):
        return self.status()["counts"]

    def cdi_names(self):
        """The device names in our CDI files."""
        names = set()
        for path in self.cdi_dir.glob("*"):
            if path.suffix in (".json", ".yaml"):
                try:
                    names |= {d["name"] for d in json.loads(path.read_text())["devices"]}
                except FileNotFoundError:
                    pass  # replaced or removed just now
        return names


class Node:
    """All of it, in the order in which a node comes up."""

    def __init__(self, machine="p4d.24xlarge", tls=False, api=True, token=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kn-", dir="/tmp"))
        self.kubelet = self.api = self.agent = None
        self.seen = {}  # (resource, MIG UUID) to the slice that it was when it was listed
        try:
            self.machine = Machine(machine, self.folder / "m")
            self.kubelet = Kubelet(self.folder)
            self.kubelet.on_list.append(self._check_list)
            self.kubelet.start()
            if api:
                self.api = ApiServer(self.folder, tls, token)
                self.api.start()
                self.api.create_node()
            self.agent = Agent(self.folder, self.machine, self.kubelet, self.api)
        except BaseException:
            self.close()
            raise

    def _check_list(self, resource, before, after):
        names = None
        for one, healthy in after.items():
            if healthy and one not in before:
                names = names if names is not None else self.agent.cdi_names()
                if one.split("::")[0] not in names:
                    self.kubelet.wrongs.append(f"{resource}: {one} listed before it is in the CDI "
                                               f"file")
        new = [one for one in after if one not in before and one.startswith("MIG-")]
        gone = [one for one in before if one not in after and one.startswith("MIG-")]
        if new or gone:
            # A UUID follows from the place: another instance may have it by now, of the same
            # profile (its generation differs) or, if we look late, of another one.
            profile = resource.partition("mig-")[2]
            there = {one: where for one, where in self.machine.slices().items()
                     if profile in ("", where[1].replace("+", "."))}
            self.seen.update({(resource, one): there.get(one) for one in new})
            for one in gone:
                if one in there and there[one] == self.seen.get((resource, one)):
                    self.kubelet.wrongs.append(f"{resource}: {one} left the list while its slice "
                                               f"is there")

    def start(self, *flags, label=None):
        """The agent, mixed unless told otherwise; with a label, up to success."""
        if not any("strategy" in str(f) for f in flags):
            flags = ("--mig-strategy", "mixed", *flags)
        if label:
            self.api.label(label)
        self.agent.start(*flags)
        if label:
            self.wait_state("success")
        return self

    def relabel(self, value, state="success"):
        """Label, and wait for what comes of it: the state, said of this very label."""
        self.api.label(value)
        self.wait_state(state, value)

    def wait_state(self, state, config=None, seconds=None):
        def there():
            if not self.agent.alive():
                raise AssertionError(f"the agent ended by itself:\n{self.agent.log()}")
            if self.api.get_label() != state:
                return False
            config_now = config or self.api.get_label(CONFIG)
            status = self.agent.status()
            return (status.get("config", ""), status.get("state", "")) == (config_now, state)
        wait_until(there, lambda: f"state {state}; it is {self.api.get_label()}: "
                   f"{self.api.reason()}\n{self.agent.log()}", seconds)

    def wait_allocatable(self, want, seconds=None):
        wait_until(lambda: self.kubelet.allocatable() == want,
                   lambda: f"allocatable {want}, there is {self.kubelet.allocatable()}\n"
                   f"{self.agent.log()}", seconds)

    def wait_phase(self, phase, *pods, seconds=None):
        def there():
            now = self.kubelet.pods()
            return all(now.get(p, {}).get("phase") == phase for p in pods)
        wait_until(there, lambda: f"pods {pods} {phase}: {self.kubelet.pods()}\n"
                   f"{self.agent.log()}", seconds)

    def add_pods(self, *names, resource=MIG_1G):
        for name in names:
            self.kubelet.add(name, resource)

    def device(self, pod):
        """The one device of a pod."""
        ids = [i for ids in self.kubelet.pods()[pod]["devices"].values() for i in ids]
        assert len(ids) == 1, ids
        return ids[0]

    def check(self):
        """What must hold at any time; tests end with it."""
        assert self.kubelet.wrongs == [], "\n".join(self.kubelet.wrongs)
        held = self.kubelet.held()
        twice = {one: pods for one, pods in held.items() if len(pods) > 1}
        assert twice == {}, f"given twice: {twice}"
        there = self.machine.slices()
        devices = {one.split("::")[0] for one in held}
        lost = [one for one in devices if one.startswith("MIG-") and one not in there]
        assert lost == [], f"slices of running pods are gone: {lost}"
        if self.agent.alive():
            missing = devices - self.agent.cdi_names()
            assert missing == set(), f"devices of running pods are in no CDI file: {missing}"

    def close(self):
        failed = []
        for program in (self.agent, self.kubelet, self.api):
            if program is not None:
                try:
                    program.stop()
                except (AssertionError, OSError) as error:
                    failed.append(error)
                    program.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        if failed:
            raise failed[0]
