"""A node whose agent serves metrics, and what a scrape of it says, taken apart."""
import http.client
import os
import pathlib
import re
import ssl
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TREE / "tests" / "node"))

import harness  # noqa: E402
from harness import wait_until  # noqa: E402, F401

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LINE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Scrape:
    """What one answer says: rows (name, labels, value), and of each family its help and type."""

    def __init__(self, text):
        self.text, self.rows, self.help, self.type = text, [], {}, {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, name, rest = line.split(" ", 3)
                assert name not in self.help, f"{name} has two families"
                self.help[name] = rest
            elif line.startswith("# TYPE "):
                _, _, name, self.type[name] = line.split(" ")
            elif line != "# EOF":
                self.rows.append(self.take(line))
        seen = set()
        for name, labels, _ in self.rows:
            key = (name, tuple(sorted(labels.items())))
            assert key not in seen, f"twice: {key}"
            seen.add(key)

    @staticmethod
    def take(line):
        name, inside, value = LINE.match(line).groups()
        labels = LABEL.findall(inside or "")
        assert len(labels) == len(dict(labels)), f"a label twice: {line}"
        assert "".join(f'{k}="{v}",' for k, v in labels).rstrip(",") == (inside or ""), line
        return name, dict(labels), float(value)

    def get(self, name, **labels):
        """Of the rows with this name and these labels: [(labels, value)]."""
        return [(have, value) for one, have, value in self.rows if one == name and
                all(have.get(k) == str(v) for k, v in labels.items())]

    def one(self, name, **labels):
        found = self.get(name, **labels)
        assert len(found) == 1, f"{name} {labels}: {len(found)} rows\n{self.text[-3000:]}"
        return found[0][1]

    def names(self):
        return {name for name, _, _ in self.rows}


class Client:
    """One connection to a metrics port."""

    def __init__(self, address, tls=None):
        host, port = address.rsplit(":", 1)
        host = host.strip("[]")
        self.http = (http.client.HTTPSConnection(host, int(port), timeout=20, context=tls) if tls
                     else http.client.HTTPConnection(host, int(port), timeout=20))

    def get(self, path="/metrics", **headers):
        self.http.request("GET", path, headers={k.replace("_", "-"): v
                                                for k, v in headers.items()})
        answer = self.http.getresponse()
        answer.body = answer.read()
        return answer

    def scrape(self):
        answer = self.get()
        assert answer.status == 200, (answer.status, answer.body)
        return Scrape(answer.body.decode())


def address(node):
    return wait_until(lambda: node.agent.status().get("metrics"),
                      lambda: f"metrics are served\n{node.agent.log()}")


def start(node, *flags, label=None):
    node.start("--metrics-listen", "127.0.0.1:0", "--metrics-interval", "100", *flags, label=label)
    return Client(address(node))


def fresh(client, condition=lambda scrape: True, message="a scrape as it should be", seconds=None):
    """The first scrape with a reading of every GPU that is as it should be."""
    last = []

    def there():
        last[:] = [client.scrape()]
        stale = [value for _, value in last[0].get("kerf_gpu_reading_stale")]
        if any(stale) or not stale:
            return None
        return last[0] if condition(last[0]) else None
    return wait_until(there, lambda: f"{message}\n{last[0].text if last else ''}", seconds)


def cgroup(node, pid, pod):
    """Have the process be the pod's."""
    uid = node.kubelet.pods()[pod]["uid"]
    folder = node.machine.root / "proc" / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup").write_text(f"0::/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/"
                                   f"cri-containerd-{'ab' * 32}.scope\n")


def load(node, pid, gpu, sm=0, memory=0, gi=None, ci=0, kind=None, dram=0, pod=None):
    """A process of made-up number on a GPU or instance, busy as told."""
    words = ["add", "--gpu", gpu, "--pid", pid, "--sm", sm, "--memory", memory, "--dram", dram]
    if gi is not None:
        words += ["--gi", gi, "--ci", ci]
    if kind:
        words += ["--kind", kind]
    node.machine.sim("process", *words)
    if pod:
        cgroup(node, pid, pod)


def instance_of(node, uuid):
    """(gpu, gi) of a MIG device."""
    for g, gpu in enumerate(node.machine.show()["gpus"]):
        for gi in gpu.get("instances", []):
            if any(ci["uuid"] == uuid for ci in gi.get("compute", [])):
                return g, gi["id"]
    raise AssertionError(f"no {uuid}")


def insecure(cafile=None, cert=None):
    context = ssl.create_default_context(cafile=cafile)
    context.check_hostname = False
    if not cafile:
        context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(*cert)
    return context


SANITIZED = b"__asan_init" in harness.KERF.read_bytes() if harness.KERF.exists() else False
