"""An API server that is slow, away, or says no: the node serves, and follows when it can."""
import pytest

from harness import CONFIG, MIG_1G, wait_until
from test_slices import BALANCED


def test_an_api_server_that_goes_away_costs_nothing(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.api.stop()
    node.kubelet.add("p", MIG_1G)
    node.wait_phase("Running", "p")
    node.api.start()
    # The stand-in begins anew; a real one's versions never go back.
    for i in range(60):
        node.api.add_pod(f"filler{i}")
    node.api.create_node(**{CONFIG: "all-balanced"})
    node.kubelet.delete("p")
    node.wait_state("success", "all-balanced", seconds=60)


def test_an_agent_that_starts_without_its_api_server_puts_the_last_config_back(node):
    node.start(label="all-1g.5gb")
    node.wait_allocatable({MIG_1G: 56})
    node.agent.stop()
    node.api.stop()
    node.agent.start()
    node.wait_allocatable({MIG_1G: 56})
    wait_until(lambda: node.agent.status().get("state") == "success", "success")


@pytest.mark.parametrize("order", ["end", "drop", "garbage", "midway", "expire", "error"])
def test_a_watch_that_breaks_is_opened_again(node, order):
    node.start(label="all-1g.5gb")
    node.api.trouble("watches", do=order)
    node.relabel("all-balanced")
    node.wait_allocatable(BALANCED)


def test_a_label_that_changed_while_the_watch_was_gone_and_expired_is_seen(node):
    node.start(label="all-1g.5gb")
    node.api.trouble("fault", method="GET", path="/api/v1/nodes", watch=True, status=410, times=1)
    node.api.trouble("watches", do="drop")
    node.api.trouble("expire")
    node.relabel("all-balanced")


@pytest.mark.parametrize("knobs", [{"status": 429, "retryAfter": 1}, {"status": 500}, {"drop": True},
                                   {"body": "this is no JSON"}], ids=str)
def test_a_patch_that_fails_is_sent_again(node, knobs):
    node.start()
    node.api.trouble("fault", method="PATCH", path="/api/v1/nodes", times=2, **knobs)
    # our own label goes by PATCH too: the stand-in counts it as the first of the two
    for _ in range(4):
        try:
            node.api.label("all-balanced")
            break
        except (AssertionError, OSError, ValueError):
            continue
    node.wait_state("success", "all-balanced", seconds=60)


def test_a_slow_api_server_delays_the_news_alone(node):
    node.start(label="all-1g.5gb")
    node.api.trouble("fault", method="PATCH", path="/api/v1/nodes", delayMs=1500, times=6)
    node.api.label("all-balanced")
    node.wait_allocatable(BALANCED)
    node.wait_state("success", "all-balanced", seconds=60)


def test_a_token_that_changes_is_read_again(make_node):
    node = make_node(token="first")
    token = node.folder / "token"
    token.write_text("first")
    config = node.api.kubeconfig.read_text()
    assert "first" in config
    node.api.kubeconfig.write_text(config.replace("token: first", f"tokenFile: {token}")
                                   .replace('token: "first"', f"tokenFile: {token}"))
    node.start(label="all-1g.5gb")
    node.api.trouble("token", token="second")
    node.api.token = "second"
    token.write_text("second")
    node.api.trouble("watches", do="drop")
    node.relabel("all-balanced")


def test_over_tls(make_node):
    node = make_node(tls=True)
    node.start(label="all-balanced")
    node.wait_allocatable(BALANCED)
