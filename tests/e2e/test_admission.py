"""`nvidia.com/gpu-memory: 4Gi` by the admission policy and by `kerf webhook`, on a real API server: the same
table of sizes, the same pods."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest
import yaml

from cluster import wait_for
from pods import pod

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
FILES = TREE / "deploy/chart/files"
KERF = pathlib.Path(os.environ.get("KERF_BUILD", TREE / "build")) / "kerf"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kerf"
MEMORY, KEPT = "nvidia.com/gpu-memory", "kerf.dev/gpu-memory"
PORT = 19443

SIZES = [line.split() for line in (TREE / "tests/webhook/sizes.txt").read_text().splitlines()
         if line and not line.startswith("#")]


def value(amount):
    """As it stands in a manifest: a number or a text."""
    return amount.strip('"') if not re.fullmatch(r"\d{1,18}", amount) else int(amount)


def try_out(cluster, spec):
    """The pod as it would be made, or the sentence that refuses it."""
    done = subprocess.run([str(TREE / "tests/e2e/cluster.sh"), "kubectl", "create", "--dry-run=server", "-o", "json",
                           "-f", "-"], env=cluster.env, text=True, capture_output=True, input=json.dumps(spec))
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def asking(amount, **more):
    return pod("dry", "gpu-memory", amount, **more)


def odd_pods():
    """More shapes than the table has."""
    two = asking("4Gi", annotations={"a": "b"})
    main = two["spec"]["containers"][0]
    two["spec"]["initContainers"] = [dict(main, name="first", resources={"limits": {MEMORY: "2Gi"}}),
                                     dict(main, name="second", resources={"limits": {MEMORY: 3}})]
    two["spec"]["containers"] += [dict(main, name="side", resources={"limits": {"cpu": "1"}}),
                                  dict(main, name="small", resources={"limits": {MEMORY: "500M"},
                                                                      "requests": {MEMORY: "500M"}})]
    plain = asking("4Gi")
    del plain["spec"]["containers"][0]["resources"]
    both = asking("4Gi")
    both["spec"]["containers"].append(dict(main, name="whole", resources={"limits": {"nvidia.com/gpu": 1}}))
    return {"two": two, "plain": plain, "both": both}


ODD = odd_pods()


def works(cluster):
    made = try_out(cluster, asking("4Gi"))
    return isinstance(made, dict) and made["spec"]["containers"][0]["resources"]["limits"][MEMORY] == "4"


def outcome(made):
    """What counts of an answer: the resources of every container and the annotations, or that it is refused."""
    if isinstance(made, str):
        return "refused"
    spec = made["spec"]
    return {"containers": [(c["name"], c.get("resources")) for c in spec["containers"]],
            "initContainers": [(c["name"], c.get("resources")) for c in spec.get("initContainers", [])],
            "annotations": made["metadata"].get("annotations")}


@pytest.fixture(scope="module")
def checks(cluster):
    """The policy that refuses, which goes with either."""
    cluster.kubectl("apply", "-f", str(FILES / "gpu-memory.yaml"))
    wait_for("it counts", lambda: "is no memory" in str(try_out(cluster, asking(0))))
    yield
    cluster.kubectl("delete", "-f", str(FILES / "gpu-memory.yaml"))


def all_of(cluster):
    """What becomes of each size and of each odd pod."""
    return {**{a: try_out(cluster, asking(value(a))) for a, _ in SIZES},
            **{name: try_out(cluster, spec) for name, spec in ODD.items()}}


@pytest.fixture(scope="module")
def by_policy(cluster, checks):
    """By the MutatingAdmissionPolicy; None before Kubernetes 1.36, which has none."""
    if cluster.minor() < 36:
        return None
    cluster.kubectl("apply", "-f", str(FILES / "gpu-memory-rewrite.yaml"))
    try:
        wait_for("the policy counts", lambda: works(cluster))
        return all_of(cluster)
    finally:
        cluster.kubectl("delete", "-f", str(FILES / "gpu-memory-rewrite.yaml"))
        wait_for("it is gone", lambda: not works(cluster))


class Webhook:
    """`kerf webhook` with the rights of the chart's service account, in the chart's configuration."""

    def __init__(self, cluster, folder):
        self.cluster, self.log_path, self.process = cluster, folder / "webhook.log", None
        helm = sorted((CACHE / "bin").glob("helm-*"))[-1]
        text = subprocess.run([str(helm), "template", "kerf", str(TREE / "deploy/chart"), "--namespace", "kube-system",
                               "--set", "gpuMemory.enabled=true,gpuMemory.admission=webhook"],
                              text=True, capture_output=True, check=True).stdout
        ours = [o for o in yaml.safe_load_all(text)
                if o and o["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "kerf-webhook"]
        for o in ours:
            if o["kind"] == "MutatingWebhookConfiguration":
                # the cluster has no pod network: a process of the machine instead of a pod behind the Service
                o["webhooks"][0]["clientConfig"] = {"url": f"https://127.0.0.1:{PORT}/"}
        self.objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": [
            o for o in ours if o["kind"] not in ("Deployment", "Service", "PodDisruptionBudget")]})
        cluster.kubectl("apply", "-f", "-", given=self.objects)
        token = cluster.kubectl("create", "token", "kerf-webhook", "-n", "kube-system", "--duration", "2h").strip()
        self.kubeconfig = folder / "webhook.kubeconfig"
        self.kubeconfig.write_text(cluster.sh("kubeconfig", "kerf-webhook", token))

    def start(self, *flags):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(KERF), "webhook", "--kubeconfig", str(self.kubeconfig), "--namespace", "kube-system", "--listen",
                 f"127.0.0.1:{PORT}", "--dns", "127.0.0.1", *flags], stdin=subprocess.DEVNULL, stderr=log)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log()

    def log(self):
        return self.log_path.read_text()


@pytest.fixture(scope="module")
def webhook(cluster, checks, by_policy, tmp_path_factory):
    made = Webhook(cluster, tmp_path_factory.mktemp("webhook"))
    made.start()
    try:
        wait_for(lambda: f"the webhook is asked:\n{made.log()}", lambda: works(cluster))
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()
        cluster.kubectl("delete", "-f", "-", given=made.objects)


@pytest.fixture(scope="module")
def by_webhook(cluster, webhook):
    return all_of(cluster)


def disagreements(made_of):
    """Rows of the table that came out otherwise."""
    wrong = []
    for amount, units in SIZES:
        made = made_of[amount]
        if isinstance(made, str) or units == "refused":
            if not isinstance(made, str) or units != "refused":
                wrong.append((amount, units, made))
            continue
        resources = made["spec"]["containers"][0]["resources"]
        kept = made["metadata"].get("annotations", {}).get(KEPT)
        if resources["limits"] != resources["requests"] or (kept is None) != (units == "=") or \
                (units != "=" and resources["limits"][MEMORY] != units):
            wrong.append((amount, units, resources, kept))
    return wrong


def test_the_policy_does_what_the_table_says(by_policy):
    if by_policy is None:
        pytest.skip("Kubernetes 1.36 and later have a MutatingAdmissionPolicy")
    assert disagreements(by_policy) == []


def test_the_webhook_does_what_the_table_says(by_webhook):
    assert disagreements(by_webhook) == []


def test_both_make_the_same_pods(by_policy, by_webhook):
    if by_policy is None:
        pytest.skip("Kubernetes 1.36 and later have a MutatingAdmissionPolicy")
    assert {name: outcome(made) for name, made in by_webhook.items()} == \
        {name: outcome(made) for name, made in by_policy.items()}


def test_the_webhook_refuses_in_words(cluster, webhook):
    for amount, words in (("-4Gi", "write at least 1Gi"), ("500m", "no whole number of bytes"),
                          ("5Ti", "at most 4096Gi"), (0, "is no memory")):
        told = try_out(cluster, asking(amount))
        assert isinstance(told, str) and "gpu-memory.kerf.dev" in told and words in told, told


def test_the_webhook_is_trusted_again_after_its_configuration_was_applied_anew(cluster, webhook):
    cluster.kubectl("patch", "mutatingwebhookconfiguration", "kerf-gpu-memory", "--type=json", "-p", json.dumps(
        [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]))
    wait_for(webhook.log, lambda: works(cluster), 10)


def test_pods_are_admitted_while_certificates_are_renewed(cluster, webhook):
    webhook.stop()
    # the one that is there is good for months: begin with none
    cluster.kubectl("patch", "secret", "kerf-webhook", "-n", "kube-system", "--type=json", "-p", json.dumps(
        [{"op": "remove", "path": "/data"}]))
    webhook.start("--valid", "24s")

    def certificate():
        return cluster.kubectl("get", "secret", "kerf-webhook", "-n", "kube-system", "-o", r"jsonpath={.data.tls\.crt}")
    wait_for(webhook.log, lambda: certificate() and works(cluster))
    seen, failed = {certificate()}, []

    def renewed():
        made = try_out(cluster, asking("4Gi"))
        if not isinstance(made, dict):
            failed.append(made)
        seen.add(certificate())
        return len(seen) >= 4
    wait_for(webhook.log, renewed, 90)
    assert failed == []


def test_it_may_do_nothing_else(cluster, webhook):
    def can(*words):
        return cluster.kubectl("auth", "can-i", *words, "--as", "system:serviceaccount:kube-system:kerf-webhook",
                               check=False).strip()
    assert can("get", "secrets/kerf-webhook", "-n", "kube-system") == "yes"
    for words in (("get", "secrets/other", "-n", "kube-system"), ("list", "secrets", "-n", "kube-system"),
                  ("get", "secrets/kerf-webhook", "-n", "default"), ("create", "pods"), ("list", "pods"),
                  ("patch", "nodes"), ("create", "mutatingwebhookconfigurations"),
                  ("patch", "mutatingwebhookconfigurations/other"),
                  ("delete", "mutatingwebhookconfigurations/kerf-gpu-memory"),
                  ("patch", "validatingwebhookconfigurations/kerf-gpu-memory")):
        assert can(*words) == "no", words


def test_other_pods_do_not_wait_for_it(cluster, webhook):
    webhook.stop()
    assert isinstance(try_out(cluster, ODD["plain"]), dict)
    assert isinstance(try_out(cluster, pod("dry", "gpu", 1)), dict)
    told = try_out(cluster, asking("4Gi"))
    assert isinstance(told, str) and "failed calling webhook" in told
    webhook.start()
    wait_for(webhook.log, lambda: works(cluster))
