"""A node for each test, taken down whatever happened; what its programs said if the test failed."""
import os
import sys

import pytest

import harness


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed


def pytest_runtest_logreport(report):
    """For tools/tally, which counts the cases of a Meson test by lines like cmocka's."""
    if not os.environ.get("KERF_TALLY"):
        return
    if report.when == "call" or report.failed or report.skipped:
        word = "FAILED" if report.failed else "SKIPPED" if report.skipped else "OK"
        name = report.nodeid.split("::", 1)[1].replace(" ", "_").replace(":", "_")
        print(f"\n[ {word} ] {name}", file=sys.__stdout__, flush=True)


@pytest.fixture
def make_node(request):
    """node = make_node("p5.48xlarge"): up to the agent, which the test starts."""
    nodes = []

    def make(*args, **kwargs):
        nodes.append(harness.Node(*args, **kwargs))
        return nodes[-1]

    yield make
    failed = getattr(request.node, "failed", False)
    try:
        for node in nodes:
            if failed:
                print("--- agent\n" + node.agent.log(80))
                print("--- kubelet\n" + node.kubelet.log(20))
                print("--- API server\n" + (node.api.log(20) if node.api else "none"))
            elif node.agent.alive():
                node.check()
    finally:
        for node in nodes:
            node.close()


@pytest.fixture
def node(make_node):
    """A p4d with kubelet and API server; the agent is not started yet."""
    return make_node()
