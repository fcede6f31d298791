"""One real cluster for all cases; a fresh simulated machine with an agent for each.

KERF_E2E_KEEP=1 leaves the cluster and the folders of failed cases up, to look at them.
"""
import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from agent import Agent
from cluster import HERE, MIG_CONFIG, MIG_STATE, NODE, REASON, Cluster, wait_for

KEEP = os.environ.get("KERF_E2E_KEEP") == "1"
BEGIN = time.monotonic()


def pytest_runtest_logstart(nodeid, location):
    print(f"\n[{time.monotonic() - BEGIN:4.0f} s] {nodeid.rpartition('::')[2]}", end=" ", flush=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed


@pytest.fixture(scope="session")
def cluster():
    """The cluster, up, with the agent's service account.  One run at a time on a machine."""
    state = os.environ.get("KUBE_STATE", "/tmp/kerf-kube")
    with open(f"{state}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("\nwaiting for the end of another run on this machine", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        c = Cluster(state)
        c.sh("wipe")
        c.sh("up")
        try:
            c.kubectl("apply", "-f", str(HERE / "rbac.yaml"))
            yield c
        finally:
            if not KEEP:
                c.sh("wipe")


@pytest.fixture(scope="session")
def kubeconfig(cluster):
    """Access with the rights of rbac.yaml, by a token as pods have it."""
    token = cluster.kubectl("create", "token", "kerf", "-n", "kube-system",
                            "--duration", "24h").strip()
    path = cluster.state / "kerf.kubeconfig"
    path.write_text(cluster.sh("kubeconfig", "kerf", token))
    path.chmod(0o600)
    return path


@pytest.fixture
def machine(kerf, request):
    """The folder of a fresh simulated machine, p4d.24xlarge if the case does not say otherwise."""
    name = getattr(request, "param", "p4d.24xlarge")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kerf-e2e-"))
    subprocess.run([kerf, "sim", "create", name, folder / "m"], check=True,
                   stdin=subprocess.DEVNULL)
    yield folder / "m"
    if not (KEEP and getattr(request.node, "failed", False)):
        shutil.rmtree(folder)


@pytest.fixture
def agent(kerf, machine, cluster, kubeconfig, request):
    """An agent for that machine, not started.  Afterwards the node is as it was before."""
    a = Agent(kerf, machine, cluster, kubeconfig, machine.parent)
    try:
        yield a
        if getattr(request.node, "failed", False):
            print(f"\nthe agent's log:\n{a.log()}\n{cluster.troubles()}")
        cluster.delete_pods()
    finally:
        a.stop()
    cluster.kubectl("label", "node", NODE, f"{MIG_CONFIG}-", f"{MIG_STATE}-")
    cluster.kubectl("annotate", "node", NODE, f"{REASON}-")
    for path in cluster.cdi_dir.iterdir():
        path.unlink()
    # The kubelet keeps the capacity of a plugin that is gone for five minutes, but offers none.
    wait_for(lambda: f"the node still offers {cluster.allocatable()}",
             lambda: not cluster.allocatable())
