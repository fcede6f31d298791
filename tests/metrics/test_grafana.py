"""deploy/grafana: every panel of our dashboard has series, and every alert a case that sets it off."""
import json
import math
import re
import subprocess

import pytest
import yaml

from prometheus import PROMTOOL, Prometheus, needed
from support import TREE, address, fresh, instance_of, load, start, wait_until
from test_pods import shared, sharers

pytestmark = needed
GRAFANA = TREE / "deploy/grafana"
DASHBOARD, ALERTS, CASES = (GRAFANA / name for name in
                            ("kerf.json", "alerts.yaml", "alerts-test.yaml"))


def panels():
    return [p for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] != "row"]


def expressions():
    rules = [r for g in yaml.safe_load(ALERTS.read_text())["groups"] for r in g["rules"]]
    return [t["expr"] for p in panels() for t in p["targets"]] + [r["expr"] for r in rules]


def test_the_dashboard_is_what_its_source_makes():
    made = subprocess.run(["/usr/bin/python3", GRAFANA / "build.py", "-"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    assert made == DASHBOARD.read_text(), "run deploy/grafana/build.py"


def test_panels_lie_side_by_side():
    places = [p["gridPos"] for p in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"])
             for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) == 23


@pytest.mark.parametrize("what, file", [("check", ALERTS), ("test", CASES)])
def test_promtool_finds_nothing_in_the_alerts(what, file):
    done = subprocess.run([PROMTOOL, what, "rules", file], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_every_alert_has_a_case_that_sets_it_off():
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    assert alerts == set(re.findall(r'alertname="(\w+)"', CASES.read_text()))


class Busy:
    """A cut node with pods alone and together, an XID, and a change while Prometheus watches."""

    def __init__(self, make_node, folder):
        self.node = node = make_node("p5.48xlarge")
        self.client = start(node, *shared(folder, "nvidia.com/mig-1g.10gb"), label="all-balanced")
        node.kubelet.add("alone", "nvidia.com/mig-2g.20gb")
        node.wait_phase("Running", "alone")
        gpu, gi = instance_of(node, node.device("alone"))
        load(node, 7000, gpu, gi=gi, memory=4000, sm=40)
        sharers(node, "nvidia.com/mig-1g.10gb", "a", "b")
        gpu, gi = instance_of(node, node.device("a").split("::")[0])
        for i, pod in enumerate("ab"):
            load(node, 7001 + i, gpu, gi=gi, memory=300, sm=20, pod=pod)
        node.machine.sim("xid", 3, 31)
        fresh(self.client, lambda s: len(s.get("kerf_pod_metric_absent", reason="slice")) == 2 and
              s.get("kerf_gpu_xid_errors_total", xid="31") and
              s.get("kerf_pod_sm_utilization_ratio", pod="alone"))

    def change(self):
        """GPUs that no pod is on are cut otherwise."""
        name = "kerf_geometry_change_duration_seconds_count"
        before = self.client.scrape().one(name)
        self.node.api.label("all-1g.10gb")
        fresh(self.client, lambda s: s.one(name) > before)


def series(server, text):
    text = text.replace("$instance", ".*").replace("$namespace", ".*") \
        .replace("$__rate_interval", "1m")
    return [value for _, value in server.query(text) if not math.isnan(value)]


def test_every_panels_query_returns_series(make_node, tmp_path):
    busy = Busy(make_node, tmp_path)
    server = Prometheus(tmp_path, address(busy.node), "  honor_labels: true\n")
    try:
        busy.change()
        for panel in panels():
            for target in panel["targets"]:
                got = wait_until(lambda: series(server, target["expr"]),
                                 f"series for {panel['title']}: {target['expr']}", 20)
                print(f"{panel['title']:>52} {target['legendFormat']:.30}: {len(got)} series")
        scrape = busy.client.scrape()
    finally:
        server.end()
    families = set(scrape.type) | {name for name, _, _ in scrape.rows}
    for text in expressions():
        unknown = set(re.findall(r"\b(?:kerf_|DCGM_|process_)\w+", text)) - families
        assert not unknown, f"{text}: no agent has {unknown}"
