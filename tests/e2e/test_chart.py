"""The chart and the image on a real cluster: installed, upgraded under load, rolled back, removed."""
import json
import os
import pathlib
import subprocess

import pytest

from cluster import MIG_CONFIG, NODE, containers, is_ready, wait_for
from pods import given, pod

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kerf"
NAMESPACE = "gpu"


class Release:
    """The chart as an operator installs it, its agent on a simulated machine."""

    def __init__(self, program, cluster, machine):
        self.program, self.cluster = program, cluster
        # the machine is its root, and beside that what its driver knows
        self.values = {"image": {"pullPolicy": "Never"}, "migStrategy": "mixed", "cdi": "cdi",
                       "hostRoot": str(machine / "root"), "cdiRoot": str(cluster.cdi_dir),
                       "stateRoot": str(machine.parent / "state"),
                       "extraEnv": [{"name": "KERF_SIM_DIR", "value": "/machine"}],
                       "extraVolumes": [{"name": "machine", "hostPath": {"path": str(machine)}}],
                       "extraVolumeMounts": [{"name": "machine", "mountPath": "/machine"}]}

    def helm(self, verb, *args):
        """The file of values counts for `upgrade` alone."""
        given_values = ["--values", "-"] if verb == "upgrade" else []
        done = subprocess.run(
            [self.program, verb, "kerf", *args, *given_values, "--namespace", NAMESPACE, "--wait",
             "--timeout=90s"],
            env=dict(os.environ, KUBECONFIG=str(self.cluster.admin)), text=True,
            capture_output=True, input=json.dumps(self.values))
        assert done.returncode == 0, done.stdout + done.stderr + (
            self.cluster.kubectl("logs", "-n", NAMESPACE, "job/kerf-remove", check=False)
            if verb == "uninstall" else "")

    def install(self):
        self.helm("upgrade", TREE / "deploy/chart", "--install", "--create-namespace")

    upgrade = install

    def agent(self, *earlier):
        """Name and uid of the agent's pod, once those of earlier ones are gone and it runs."""
        def only():
            found = self.cluster.get(f"namespaces/{NAMESPACE}/pods")
            who = [(p["metadata"]["name"], p["metadata"]["uid"]) for p in found]
            return who if len(who) == 1 and who[0] not in earlier and is_ready(found[0]) else None
        return wait_for("the release has one pod, and a new one", only, 60)[0]

    def status(self):
        return self.kerf("status", "-o", "json")

    def kerf(self, *args):
        """kerf in the agent's container."""
        return self.cluster.kubectl("-n", NAMESPACE, "exec", "ds/kerf", "--", "kerf", *args)

    def log(self):
        return self.cluster.kubectl("-n", NAMESPACE, "logs", "ds/kerf", check=False)

    def access(self, *bound):
        """Asks the API server with the agent's rights, by a token bound to this object or to none."""
        token = self.cluster.kubectl("-n", NAMESPACE, "create", "token", "kerf", *bound).strip()
        path = self.cluster.state / f"release-{len(bound)}.kubeconfig"
        path.write_text(self.cluster.sh("kubeconfig", "kerf", token))

        def ask(*args):
            return self.cluster.kubectl("--kubeconfig", str(path), *args)
        ask.token = token
        return ask


@pytest.fixture(scope="module")
def image(cluster, kerf, tmp_path_factory):
    """The image, in the node's containerd."""
    archive = tmp_path_factory.mktemp("image") / "kerf.tar"
    subprocess.run([TREE / "deploy/images/build.sh"], check=True, capture_output=True,
                   env=dict(os.environ, OUT=str(archive), KERF_BUILD=str(kerf.parent)))
    cluster.sh("ctr", "images", "import", str(archive))


@pytest.fixture
def release(image, cluster, machine):
    programs = sorted((CACHE / "bin").glob("helm-*"))
    if not programs:
        pytest.skip("there is no Helm in the cache; `make chart` builds it")
    r = Release(programs[-1], cluster, machine)
    try:
        r.install()
        yield r
    finally:
        print(f"\nthe agent's log:\n{r.log()}")
        cluster.delete_pods()
        if subprocess.run([r.program, "status", "kerf", "-n", NAMESPACE], capture_output=True,
                          env=dict(os.environ, KUBECONFIG=str(cluster.admin))).returncode == 0:
            r.helm("uninstall")
        cluster.label(MIG_CONFIG, None)
        cluster.label(f"{MIG_CONFIG}.state", None)
        for path in cluster.cdi_dir.iterdir():
            path.unlink()
        wait_for(lambda: f"the node still offers {cluster.allocatable()}",
                 lambda: not cluster.allocatable())


def test_upgrade_rollback_and_removal_leave_pods_and_slices_alone(cluster, release):
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 56})
    cluster.create(*[pod(f"p{i}", "mig-1g.5gb") for i in range(8)])
    cluster.wait_phases({"Running": 8}, seconds=120)
    before = {name: containers(p) for name, p in cluster.pods().items()}
    held = {name: given(cluster, name).uuids for name in before}
    slices = [line for line in release.status().splitlines() if '"uuid"' in line]
    assert len(slices) >= 56

    first = release.agent()
    release.values["logLevel"] = "debug"
    release.upgrade()
    second = release.agent(first)
    release.helm("rollback", "1")
    release.agent(first, second)
    cluster.wait_allocatable({"nvidia.com/mig-1g.5gb": 56})
    assert [line for line in release.status().splitlines() if '"uuid"' in line] == slices
    cluster.create(pod("late", "mig-1g.5gb"))
    cluster.wait_phases({"Running": 9}, seconds=60)
    assert given(cluster, "late").uuids[0] not in [u for uuids in held.values() for u in uuids]

    assert "nvidia.com/gpu.count" in cluster.node()["metadata"]["labels"]
    release.helm("uninstall")
    wait_for(lambda: f"nothing is offered: {cluster.allocatable()}", lambda: not cluster.allocatable())
    assert marks(cluster) == [MIG_CONFIG]
    spec = json.loads((cluster.cdi_dir / "k8s.device-plugin.nvidia.com-gpu.json").read_text())
    late = given(cluster, "late").named
    assert sorted(d["name"] for d in spec["devices"]) == sorted(sum(held.values(), late))
    assert {name: containers(cluster.pods()[name]) for name in before} == before
    cluster.restart_container("p0")
    assert given(cluster, "p0").uuids == given(cluster, "p0").named == held["p0"]


def marks(cluster):
    """What there is of kerf's on the Node."""
    node = cluster.node()
    keys = [key for kind in ("labels", "annotations") for key in node["metadata"].get(kind, {})
            if key.startswith(("nvidia.com/", "kerf.dev/"))]
    return keys + [kind for kind in conditions(cluster) if kind == "GPUHealthy"]


def conditions(cluster):
    return {c["type"]: c["status"] for c in cluster.node()["status"]["conditions"]}


def taints(cluster):
    return [t["key"] for t in cluster.node()["spec"].get("taints", [])]


@pytest.mark.parametrize("machine", ["g4dn.xlarge"], indirect=True)
def test_taints_come_and_go_as_the_values_say(cluster, release):
    """The startup taint of the node group goes once the GPU is allocatable; the other one comes."""
    first = release.agent()
    cluster.wait_allocatable({"nvidia.com/gpu": 1})
    cluster.kubectl("taint", "node", NODE, "kerf.dev/starting:NoSchedule", "example.com/x:PreferNoSchedule")
    try:
        release.values["node"] = {"startupTaint": "kerf.dev/starting", "gpuTaint": True}
        release.upgrade()
        release.agent(first)
        wait_for(lambda: f"taints are {taints(cluster)}: {release.log()}",
                 lambda: taints(cluster) == ["example.com/x", "nvidia.com/gpu"])
    finally:
        release.values["node"] = {}
        release.upgrade()
        for key in taints(cluster):
            cluster.kubectl("taint", "node", NODE, f"{key}-")


@pytest.mark.parametrize("machine", ["g4dn.xlarge"], indirect=True)
def test_an_agent_may_change_its_own_node_and_there_only_what_is_ours(cluster, release):
    name, uid = release.agent()
    agent = release.access("--bound-object-kind=Pod", f"--bound-object-name={name}",
                           f"--bound-object-uid={uid}")
    nobody = release.access()  # valid, but made by hand

    def refused(ask, node, patch, why):
        with pytest.raises(AssertionError, match=why):
            ask("patch", "node", node, "--type=merge", "-p", json.dumps(patch))

    def ours(value):
        keys = {"nvidia.com/test": value, "kerf.dev/test": value}
        return {"metadata": {"labels": keys, "annotations": keys}}

    def status(change):
        """The agent has the right to patch a status, not to read it apart, as kubectl does first."""
        done = subprocess.run(
            ["curl", "-s", "--cacert", cluster.state / "pki/ca.crt", "-X", "PATCH", "-H",
             f"Authorization: Bearer {agent.token}", "-H",
             "Content-Type: application/strategic-merge-patch+json", "-d",
             json.dumps({"status": change}), f"https://127.0.0.1:6443/api/v1/nodes/{NODE}/status"],
            text=True, capture_output=True, check=True)
        answer = json.loads(done.stdout)
        assert answer["kind"] == "Node", answer["message"]

    wait_for("the condition", lambda: conditions(cluster).get("GPUHealthy") == "True")
    cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "other"}})
    try:
        status({"conditions": [{"type": "GPUHealthy", "status": "False"}]})
        status({"allocatable": {"nvidia.com/gpu": "1"}})
        for change, why in (({"conditions": [{"type": "Ready", "status": "False"}]}, "GPUHealthy"),
                            ({"allocatable": {"cpu": "1"}}, "allocatable of nvidia.com"),
                            ({"capacity": {"nvidia.com/gpu": "9"}}, "allocatable of nvidia.com")):
            with pytest.raises(AssertionError, match=why):
                status(change)
        for value in ("1", None):
            agent("patch", "node", NODE, "--type=merge", "-p", json.dumps(ours(value)))
        refused(agent, "other", ours("1"), "the Node that it runs on")
        for key, value in (("node-role.kubernetes.io/x", ""), ("notnvidia.com/x", ""),
                           ("kubernetes.io/hostname", None), ("kubernetes.io/os", "other")):
            refused(agent, NODE, {"metadata": {"labels": {key: value}}}, "labels of nvidia.com")
        refused(agent, NODE, {"metadata": {"annotations": {"example.com/x": ""}}},
                "annotations of nvidia.com")
        refused(agent, NODE, {"spec": {"unschedulable": True}}, "not its spec")
        refused(agent, NODE, {"metadata": {"finalizers": ["example.com/x"]}}, "not its spec")
        refused(nobody, NODE, ours("1"), "the Node that it runs on")
    finally:
        cluster.kubectl("delete", "node", "other")


@pytest.mark.parametrize("machine", ["g4dn.xlarge"], indirect=True)
def test_the_articles_configuration_by_values_and_another_by_label(cluster, release):
    """A T4 has no MIG; the file's strategy counts, since the value is empty."""
    article = (TREE / "tests/e2e/article/time-slicing-2.yaml").read_text()
    release.values.update(migStrategy="", config={
        "default": "article", "map": {"article": article, "four": f"{article.rstrip()}\n        replicas: 4\n"}})
    first = release.agent()
    release.upgrade()
    agent = release.agent(first)
    cluster.wait_allocatable({"nvidia.com/gpu": 10})
    cluster.label("nvidia.com/device-plugin.config", "four")
    try:
        cluster.wait_allocatable({"nvidia.com/gpu": 4})
        assert release.agent() == agent
    finally:
        cluster.label("nvidia.com/device-plugin.config", None)
