"""A real Prometheus scrapes the agent: NVIDIA's dashboard 12239 works, and promtool finds nothing."""
import pathlib
import subprocess

import pytest

from prometheus import PROMTOOL, Prometheus, needed
from support import address, fresh, load, start, wait_until

pytestmark = needed

# NVIDIA's dashboard 12239, panel by panel, as it asks.
WHERE = '{instance=~"$instance", gpu=~"$gpu"}'
PANELS = {
    "GPU Temperature": "DCGM_FI_DEV_GPU_TEMP" + WHERE,
    "GPU Avg. Temp": "avg(DCGM_FI_DEV_GPU_TEMP" + WHERE + ")",
    "GPU Power Usage": "DCGM_FI_DEV_POWER_USAGE" + WHERE,
    "GPU Power Total": "sum(DCGM_FI_DEV_POWER_USAGE" + WHERE + ")",
    "GPU SM Clocks": "DCGM_FI_DEV_SM_CLOCK" + WHERE + " * 1000000",
    "GPU Utilization": "DCGM_FI_DEV_GPU_UTIL" + WHERE,
    "Tensor Core Utilization": "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" + WHERE,
    "GPU Framebuffer Mem Used": "DCGM_FI_DEV_FB_USED" + WHERE,
}


@pytest.fixture
def prometheus(tmp_path):
    servers = []

    def make(target, scrape=""):
        servers.append(Prometheus(tmp_path, target, scrape))
        return servers[-1]
    yield make
    for server in servers:
        server.end()


def dashboard(server, node, empty=()):
    """Every panel with the dashboard's variables, which Grafana fills by label_values()."""
    instances = server.call("label/instance/values", **{"match[]": "DCGM_FI_DEV_GPU_TEMP"})
    gpus = server.call("label/gpu/values", **{"match[]": "DCGM_FI_DEV_GPU_TEMP"})
    assert len(instances) == 1 and gpus == [str(g) for g in range(8)]
    answers = {}
    for panel, query in PANELS.items():
        query = query.replace("$instance", "|".join(instances)).replace("$gpu", "|".join(gpus))
        answers[panel] = server.query(query)
        print(f"{panel:>25}: {len(answers[panel])} series")
        assert bool(answers[panel]) == (panel not in empty), panel
    assert answers["GPU Power Total"][0][1] == pytest.approx(watts_of(node), rel=.01)
    return answers


def watts_of(node):
    """What the driver library says, asked by a program of its own."""
    script = ("import ctypes,sys\nl=ctypes.CDLL(sys.argv[1])\nl.nvmlInit_v2()\n"
              "d=ctypes.c_void_p();v=ctypes.c_uint()\n"
              "for i in range(8):\n l.nvmlDeviceGetHandleByIndex_v2(i,ctypes.byref(d))\n"
              " l.nvmlDeviceGetPowerUsage(d,ctypes.byref(v))\n print(v.value/1000)\n")
    library = next(pathlib.Path(node.machine.root).glob("usr/lib/*/libnvidia-ml.so.1"))
    out = subprocess.run(["/usr/bin/python3", "-c", script, library], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return sum(float(line) for line in out.split())


def test_dashboard_12239_on_whole_gpus(make_node, prometheus):
    node = make_node("p5.48xlarge")
    client = start(node)
    load(node, 8001, 0, sm=50, memory=1000)
    fresh(client, lambda s: s.one("DCGM_FI_DEV_GPU_UTIL", gpu=0) == 50 and
          s.get("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"))
    answers = dashboard(prometheus(address(node)), node)
    assert all(len(answers[p]) == 8 for p in ("GPU Temperature", "GPU Utilization",
                                              "GPU Framebuffer Mem Used"))


@pytest.mark.parametrize("compatible", [False, True])
def test_dashboard_12239_on_a_node_that_is_cut(make_node, prometheus, compatible):
    node = make_node("p5.48xlarge")
    client = start(node, *(["--metrics-board-per-slice"] if compatible else []),
                   label="all-1g.10gb")
    fresh(client, lambda s: len(s.get("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")) == 56)
    server = prometheus(address(node))
    if compatible:  # NVIDIA's way: the board's power with each slice, so seven times in the sum
        assert server.query("sum(DCGM_FI_DEV_POWER_USAGE)")[0][1] == \
            pytest.approx(7 * watts_of(node), rel=.01)
        return
    answers = dashboard(server, node)
    assert len(answers["GPU Temperature"]) == 8 and len(answers["GPU Utilization"]) == 56


def test_dashboard_12239_on_a100s_that_are_cut(make_node, prometheus):
    """The hardware cannot tell these two there (docs/metrics.md)."""
    node = make_node("p4d.24xlarge")
    client = start(node, label="all-1g.5gb")
    fresh(client, lambda s: len(s.get("DCGM_FI_DEV_FB_USED")) == 56)
    dashboard(prometheus(address(node)), node, {"GPU Utilization", "Tensor Core Utilization"})


def test_pods_series_in_prometheus(make_node, prometheus):
    """Prometheus asks for OpenMetrics and gzip; `pod` stays `pod` with honor_labels."""
    node = make_node("p5.48xlarge")
    client = start(node)
    node.kubelet.add("trainer", "nvidia.com/gpu")
    node.wait_phase("Running", "trainer")
    fresh(client, lambda s: s.get("kerf_pod_memory_used_bytes", pod="trainer"))
    server = prometheus(address(node), "  honor_labels: true\n")
    wait_until(lambda: server.query('kerf_pod_memory_used_bytes{pod="trainer"}'), "its memory")
    wait_until(lambda: server.query('DCGM_FI_DEV_GPU_TEMP{pod="trainer",namespace="default"}'),
               "its GPU's temperature")
    kinds = server.call("metadata", metric="kerf_allocations")  # OpenMetrics' name of the family
    assert kinds["kerf_allocations"][0]["type"] == "counter"


def test_promtool_finds_nothing_in_our_own_metrics(make_node):
    """DCGM's names are NVIDIA's: capitals, and counters without _total."""
    node = make_node("p5.48xlarge")
    client = start(node, label="all-1g.10gb")
    node.kubelet.add("p", "nvidia.com/mig-1g.10gb")
    node.wait_phase("Running", "p")
    scrape = fresh(client, lambda s: s.get("kerf_pod_gpu_seconds_total"))
    own = "".join(line + "\n" for line in scrape.text.splitlines() if "DCGM_FI_" not in
                  line.split("{")[0])
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=own, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, "")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=scrape.text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert "error while linting" not in done.stdout
    assert all(line.startswith("DCGM_") for line in done.stdout.splitlines()), done.stdout
