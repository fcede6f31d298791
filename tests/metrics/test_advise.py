"""kerf advise, from a real Prometheus that has scraped the agent."""
import http.server
import json
import subprocess
import threading

import pytest

from harness import KERF
from prometheus import Prometheus, needed
from support import address, fresh, instance_of, load, start, wait_until
from test_pods import MIB, shared, sharers


def advise(node, url, *more):
    """A finished `kerf advise` on that node."""
    return subprocess.run([KERF, "advise", "--root", node.machine.root, "--prometheus", url,
                           *map(str, more)], text=True, capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL)


def told(node, url, *more):
    """{pod: what is said of it}, and all of it."""
    done = advise(node, url, "-o", "json", *more)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    said = json.loads(done.stdout)
    return {row["pod"]: row for row in said["pods"]}, said


@needed
def test_pods_that_could_do_with_less(make_node, tmp_path):
    node = make_node("p5.48xlarge")
    client = start(node, *shared(tmp_path, "nvidia.com/mig-1g.10gb"), label="all-balanced")
    for pod, memory, sm in ("small", 2000, 5), ("right", 30000, 60):
        node.kubelet.add(pod, "nvidia.com/mig-3g.40gb")
        node.wait_phase("Running", pod)
        gpu, gi = instance_of(node, node.device(pod))
        load(node, 7000 + sm, gpu, gi=gi, memory=memory, sm=sm)
    sharers(node, "nvidia.com/mig-1g.10gb", "a", "b")
    fresh(client, lambda s: [round(value, 2) for _, value in s.get(
        "kerf_pod_sm_utilization_ratio", pod="right")] == [.6])
    server = Prometheus(tmp_path, address(node), "  honor_labels: true\n")
    try:
        young, _ = told(node, server.url, "--window", "24h")
        assert "% of the window only" in young["small"]["why"]
        got, said = wait_until(
            lambda: (one := told(node, server.url, "--window", "4s")) and
            one[0].get("small", {}).get("verdict") == "smaller" and one, "enough data")
        done = advise(node, server.url, "--window", "4s")
    finally:
        server.end()
    print(done.stdout)
    small = got["small"]
    assert (small["has"], small["to"]) == ("3g.40gb", "1g.10gb")
    assert small["memory_peak_bytes"] == 2000 * MIB
    assert small["sm_utilization_99"] == pytest.approx(.05, abs=1e-3)
    assert small["sm_spare"] == pytest.approx(1 - 3 / 16, abs=1e-2)  # 5 % of 60 SMs
    frees = 1 / 2 - 1 / 7
    assert said["frees_gpus"] == small["frees_gpus"] == pytest.approx(frees)
    assert said["usd_per_hour"] == pytest.approx(frees * 55.04 / 8)  # a p5.48xlarge has 8
    assert got["right"]["verdict"] == "fits"
    assert got["a"]["verdict"] == got["b"]["verdict"] == "shares"
    assert "default/small" in done.stdout and "1g.10gb would do" in done.stdout
    assert "in all: 0.36 GPUs of $6.88/h each, $2.46/h" in done.stdout


@pytest.fixture
def stranger():
    """Something that is no Prometheus: says what is put into `.says`."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(server.says)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_without_data_it_says_so(make_node, stranger):
    node = make_node("g4dn.xlarge")
    stranger.says = b'{"status":"success","data":{"resultType":"vector","result":[]}}'
    done = advise(node, stranger.url + "/")
    assert done.returncode == 0
    assert done.stdout == "not enough data: Prometheus knows of no pod on this node's GPUs\n"
    assert told(node, stranger.url)[1]["pods"] == []


@pytest.mark.parametrize("says, part", [
    (b"<html>", "this is no answer of Prometheus' HTTP API"),
    (b'{"status":"error","error":"query timed out"}', "query timed out")])
def test_what_prometheus_refuses_is_told(make_node, stranger, says, part):
    stranger.says = says
    done = advise(make_node("g4dn.xlarge"), stranger.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kerf: Prometheus at http") and part in done.stderr


@pytest.mark.parametrize("more, part", [
    (("--window", "soon"), "--window soon"), (("--margin", "much"), "--margin much"),
    (("--gpu-price=-1",), "--gpu-price -1"), (("--nonsense",), "--nonsense"),
    (("--window",), "--window")])
def test_a_wrong_command_line_is_refused(make_node, more, part):
    done = advise(make_node("g4dn.xlarge"), "http://127.0.0.1:1", *more)
    assert done.returncode == 2 and part in done.stderr
