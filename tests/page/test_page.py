"""What the page is made of: its files and their rules, the node as JSON, the events, `kerf top`."""
import html.parser
import json
import pathlib
import re
import signal
import subprocess
import time

import pytest

import harness
from looking import LISTENERS, Listener, cut, pods
from support import Client, address, fresh, instance_of, load, start, wait_until

FILES = {"/": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
         "/page.css": "text/css; charset=utf-8", "/api/node.json": "application/json"}
SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src/metrics/page"


def told(client):
    answer = client.get("/api/node.json")
    assert answer.status == 200
    return json.loads(answer.body)


def top(node, *words):
    return harness.run("top", "--once", "--state-dir", node.agent.state_dir, *words)


def test_nothing_of_it_unless_it_is_switched_on(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    for path in (*FILES, "/live"):
        assert client.get(path).status == 404


def test_what_a_browser_is_told_to_do_with_it(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, "--page")
    for path, kind in FILES.items():
        answer = client.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert not [p for p in policy if "unsafe" in p or "http" in p or "*" in p or "data:" in p]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Access-Control-Allow-Origin"] is None
        if path != "/api/node.json":
            name = {"/": "page.html"}.get(path, path[1:])
            assert answer.body == (SOURCE / name).read_bytes()
    for method in ("POST", "PUT", "DELETE"):
        client = Client(address(node))
        client.http.request(method, "/api/node.json", body=b"{}")
        assert client.http.getresponse().status == 405


class Inline(html.parser.HTMLParser):
    """Everything in the HTML that a strict policy would have to forbid, or that asks another."""

    def __init__(self):
        super().__init__()
        self.found, self.scripts = [], 0

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.found += [f"{tag} {name}" for name in attrs if name == "style" or name.startswith("on")]
        self.found += [f"{tag} {attrs[name]}" for name in ("src", "href")
                       if name in attrs and not re.match(r"/[a-z]|#", attrs[name])]
        if tag == "style" or (tag == "script" and "src" not in attrs):
            self.found.append(tag)
        self.scripts += tag == "script"


def test_nothing_inline_and_nothing_of_anybody_elses():
    parser = Inline()
    parser.feed((SOURCE / "page.html").read_text())
    assert parser.found == [] and parser.scripts == 1
    script = (SOURCE / "page.js").read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "Function(", "http:", "https:", "localStorage", ".cookie"):
        assert word not in script, word
    assert "url(" not in (SOURCE / "page.css").read_text()


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_written_can_be_read(theme):
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for what must be seen; computed from page.css."""
    themes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in
              re.findall(r":root \{(.*?)\}", (SOURCE / "page.css").read_text(), re.S)]
    colours = themes[["light", "dark"].index(theme)]
    assert len(themes) == 2 and len(colours) == 15

    def contrast(a, b):
        a, b = luminance(colours[a]), luminance(colours[b])
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)
    for ground in ("ground", "paper", "held", "free", "going", "ill", "hit"):
        assert contrast("ink", ground) >= 4.5, ground
    for ground in ("ground", "paper", "held", "free", "going", "ill"):
        assert contrast("soft", ground) >= 4.5, ground
    for ground in ("ground", "paper"):
        assert contrast("ill-ink", ground) >= 4.5, ground
        for mark in ("line", "focus", "memory", "busy"):
            assert contrast(mark, ground) >= 3, (mark, ground)
    for mark in ("memory", "busy"):
        assert contrast(mark, "track") >= 3, mark


def test_the_node_is_shown_as_it_is_loaded(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, "--page", label="all-balanced")
    node.kubelet.add("trainer", "nvidia.com/mig-3g.40gb")
    node.wait_phase("Running", "trainer")
    uuid = node.kubelet.pods()["trainer"]["devices"]["nvidia.com/mig-3g.40gb"][0]
    g, gi = instance_of(node, uuid)
    load(node, 4001, g, sm=40, memory=5000, gi=gi, pod="trainer")

    def there():
        gpu = told(client)["gpus"][g]
        mine = [s for s in gpu["slices"] if s["uuid"] == uuid][0]
        others = [s for s in gpu["slices"] if s["uuid"] != uuid]
        return (mine["pods"] and mine["pods"][0]["memoryMiB"] == 5000 and
                mine["memoryUsedMiB"] >= 5000 and (mine["utilisation"] or 0) > 0.35 and
                all(s["utilisation"] == 0 and s["pods"] == [] for s in others) and
                gpu["memoryUsedMiB"] >= 5000 and 0.1 < gpu["utilisation"] < 0.4)
    wait_until(there, lambda: json.dumps(told(client)["gpus"][g], indent=1))
    shown = json.loads(top(node, "-o", "json"))
    assert cut(shown) == cut(told(client)) and pods(shown).keys() == pods(told(client)).keys()
    assert shown.keys() == told(client).keys()
    text = top(node)
    assert "default/trainer" in text and "4.9 GiB" in text and "\033" not in text
    assert [line for line in text.splitlines() if line.startswith("|1g.10gb")]
    assert max(map(len, text.splitlines())) <= 120


def test_top_says_what_is_missing(make_node, tmp_path):
    node = make_node("p4d.24xlarge")
    node.start()
    wait_until(lambda: node.kubelet.allocatable(), "served")
    for folder, words in ((node.agent.state_dir, "started without --metrics-listen"),
                          (tmp_path, "no agent answers at")):
        done = harness.run("top", "--state-dir", folder, check=False)
        assert done.returncode == 1 and words in done.stderr


def test_a_change_is_told_within_a_second(make_node):
    node = make_node("p5.48xlarge")
    start(node, "--page", label="all-1g.10gb")
    listener = Listener(node).listen()
    wait_until(lambda: listener.told and len(cut(listener.told[-1][1])[0]) == 7, "seven slices")
    assert "text/event-stream" in listener.head
    for config, n in (("all-3g.40gb", 2), ("all-1g.10gb", 7), ("all-balanced", 4)):
        before = len(listener.told)
        node.relabel(config)
        done = time.monotonic()
        came = wait_until(lambda: [at for at, one in listener.told[before:]
                                   if all(len(gpu) == n for gpu in cut(one)) and
                                   one["config"] == config and one["state"] == "success"],
                          f"{config} is told")[0]
        print(f"{config}: told {came - done:+.3f} s after the Node was")
        assert came - done < 1
    events = [e["text"] for e in listener.told[-1][1]["events"]]
    assert any(e.startswith("MIG configuration all-balanced: applied") for e in events)
    assert any(re.match(r"gpu 7: \d instances destroyed, \d created in \d+\.\d\d s", e)
               for e in events), events
    listener.close()


def test_one_a_second_and_no_more_when_nothing_happens(make_node):
    node = make_node("p4d.24xlarge")
    start(node, "--page")
    listener = Listener(node).listen()
    wait_until(lambda: len(listener.told) >= 6, "six of them")
    gaps = [b[0] - a[0] for a, b in zip(listener.told[2:], listener.told[3:])]
    assert min(gaps) > 0.15 and sorted(gaps)[len(gaps) // 2] < 1.6, gaps
    listener.close()


def test_what_waits_is_told_with_its_reason(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, "--page", label="all-1g.10gb")
    node.kubelet.add("holder", "nvidia.com/mig-1g.10gb")
    node.wait_phase("Running", "holder")
    node.relabel("all-disabled", "pending")
    wait_until(lambda: any("holder" in w for w in told(client)["waits"]),
               lambda: json.dumps(told(client)["waits"]))
    wait_until(lambda: "WAITING" in top(node), lambda: top(node))
    node.kubelet.delete("holder")
    node.wait_state("success")
    wait_until(lambda: told(client)["waits"] == [], "nothing waits")
    leaves = [e["text"] for e in told(client)["events"] if "leaves" in e["text"]]
    assert leaves and leaves[0].startswith("pod default/holder leaves 1g.10gb at ")


def test_slow_readers_are_cut_off_and_hold_up_nobody(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, "--page", label="all-1g.10gb")
    fresh(client)
    slow = [Listener(node, receive=1024) for _ in range(LISTENERS - 1)]  # and never read
    quick = Listener(node).listen()
    wait_until(lambda: len(quick.told) > 1, "the quick one is told")
    refused = Client(address(node)).get("/live")
    assert refused.status == 503
    took = []
    before = len(quick.told)
    while len(quick.told) < before + 5:
        began = time.monotonic()
        assert client.get().status == 200
        took.append(time.monotonic() - began)
        node.kubelet.add("p", "nvidia.com/mig-1g.10gb")
        node.wait_phase("Running", "p")
        node.kubelet.delete("p")
    gaps = [b[0] - a[0] for a, b in zip(quick.told, quick.told[1:])]
    print(f"scrapes beside them: {sorted(took)[len(took) // 2] * 1000:.1f} ms, at most "
          f"{max(took) * 1000:.1f}; between two events at most {max(gaps):.2f} s")
    assert max(gaps) < 3
    # they are gone, and others may listen
    again = wait_until(lambda: Client(address(node)).get("/healthz").status == 200 and
                       listens(node), "a place is free", 60)
    again.close()
    assert quick.ended is None
    quick.close()
    for one in slow:
        one.close()


def listens(node):
    """A listener that was let in, or None."""
    one = Listener(node).listen()
    wait_until(lambda: one.head or one.ended, "an answer")
    if one.head and " 200 " in one.head:
        return one
    one.close()
    return None


def test_who_goes_away_makes_room(make_node):
    node = make_node("p4d.24xlarge")
    start(node, "--page")
    for _ in range(4):
        them = [wait_until(lambda: listens(node), "a place is free") for _ in range(LISTENERS)]
        wait_until(lambda: all(one.told for one in them), "all are told")
        assert Client(address(node)).get("/live").status == 503
        for one in them:
            one.close()


def test_an_agent_that_ends_does_not_wait_for_listeners(make_node):
    node = make_node("p4d.24xlarge")
    start(node, "--page")
    them = [Listener(node).listen() for _ in range(4)]
    wait_until(lambda: all(len(one.told) > 1 for one in them), "all are told")
    began = time.monotonic()
    assert node.agent.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    wait_until(lambda: all(one.ended for one in them), "the streams end")


def test_behind_the_password_of_the_web_config(make_node, tmp_path):
    from test_http import basic, bcrypt
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  prom: {bcrypt('old')}\n")
    node = make_node("p4d.24xlarge")
    client = start(node, "--page", "--metrics-web-config", file)
    for path in (*FILES, "/live"):
        assert Client(address(node)).get(path).status == 401
    old = f"Authorization: {basic('prom', 'old')}\r\n"
    assert client.get("/", Authorization=basic("prom", "old")).status == 200
    listener = Listener(node, old).listen()
    wait_until(lambda: len(listener.told) > 1, "it is told")
    file.write_text(f"basic_auth_users:\n  prom: {bcrypt('new')}\n")
    node.agent.reload()
    wait_until(lambda: listener.ended, "who listens must prove it again")
    new = Listener(node, f"Authorization: {basic('prom', 'new')}\r\n").listen()
    wait_until(lambda: len(new.told) > 1, "the new password counts")
    new.close()


HOSTILE = ['<script>window.pwned=1</script>', '"><img src=x onerror=pwned()>', "a\nb\t\x1b[2Jc",
           "</script>&amp;", "x" * 60, "ü€\u202e"]


def test_hostile_names_stay_text(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, "--page", label="all-1g.10gb")
    for name in HOSTILE:
        node.kubelet.add(name, "nvidia.com/mig-1g.10gb")
        node.wait_phase("Running", name)
    wait_until(lambda: {p for _, _, p in pods(told(client))} == set(HOSTILE),
               lambda: str(pods(told(client)).keys()))
    raw = client.get("/api/node.json").body
    assert not set(raw) & set(b"<>&\n\x1b\t")
    text = top(node)
    assert "\033" not in text and all(c.isprintable() or c == "\n" for c in text)
    assert text.isascii()


def test_page_alone_brings_the_metrics_port(make_node):
    """--page needs nothing else: then it is :9400, which may be taken on this machine."""
    node = make_node("p4d.24xlarge")
    node.start("--page")
    wait_until(lambda: node.agent.logged("serving on [::]:9400") or
               node.agent.logged("listen on :9400"), lambda: node.agent.log())
