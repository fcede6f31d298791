"""The page in Chromium: to scale, following a change, by keyboard, read by axe-core, looked at.

Run by tools/browser (`make browser`), which fetches what it needs."""
import os
import pathlib
import time

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from support import address, instance_of, load, start, wait_until

AXE = pathlib.Path(os.environ["KERF_AXE"])
SCREENSHOTS = os.environ.get("KERF_SCREENSHOTS")
HOSTILE = ['<script>window.pwned=1</script>', '"><img src=x onerror=window.pwned=1>',
           "</script>&amp;", "ü€‮"]
# what a laptop of 1366 x 768 leaves a page below the browser's own bars
LAPTOP = (1366, 625)


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                 "--force-device-scale-factor=1"):
        options.add_argument(word)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": LAPTOP[0], "height": LAPTOP[1], "deviceScaleFactor": 1, "mobile": False})
    yield driver
    said = [entry for entry in driver.get_log("browser") if "favicon" not in entry["message"]]
    driver.quit()
    assert said == []  # neither an error of ours nor a thing that the policy forbade


def theme(browser, name):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": name}]})


def look(browser, node):
    browser.get(f"http://{address(node)}/")
    wait_until(lambda: browser.execute_script("return node && node.gpus.length"), "the page is drawn")
    return browser


def names(browser):
    """What is drawn: of each GPU the names of its slices."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.gpu')].map(g => [...g.querySelectorAll('.slice')]"
        ".map(s => s.querySelector('.name span').textContent))")


def machine(make_node, label="all-1g.10gb"):
    node = make_node("p5.48xlarge")
    start(node, "--page", label=label)
    return node


def busy(node, n, work=True):
    """Pods on `n` devices, at work unless told otherwise."""
    for i in range(n):
        pod = f"{('train', 'infer', 'notebook')[i % 3]}-{i}"
        node.kubelet.add(pod, "nvidia.com/mig-1g.10gb")
        node.wait_phase("Running", pod)
        if not work:
            continue
        uuid = node.kubelet.pods()[pod]["devices"]["nvidia.com/mig-1g.10gb"][0]
        g, gi = instance_of(node, uuid)
        load(node, 5000 + i, g, sm=11 + 19 * (i % 5), memory=700 + 977 * (i % 9), gi=gi, pod=pod)


def test_eight_by_seven_fit_a_laptop_and_are_to_scale(make_node, browser):
    node = machine(make_node)
    look(browser, node)
    assert [len(row) for row in names(browser)] == [7] * 8
    sizes = browser.execute_script(
        "return [document.documentElement, ...document.querySelectorAll('#gpus, main, body')]"
        ".map(e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth])")
    assert all(down <= 0 and right <= 0 for down, right in sizes), sizes
    node.relabel("all-balanced")
    wait_until(lambda: [len(row) for row in names(browser)] == [4] * 8, "drawn anew")
    drawn = browser.execute_script(
        "return node.gpus.map(g => { const bar = document.querySelectorAll('.bar')[g.index]"
        ".getBoundingClientRect(); return g.slices.map(s => { const r = drawn.get(s.uuid).element"
        ".getBoundingClientRect(); return [s.start / g.units, (s.start + s.size) / g.units,"
        "(r.left - bar.left) / bar.width, (r.right - bar.left) / bar.width]; }); })")
    for start_, end, left, right in (one for gpu in drawn for one in gpu):
        assert abs(start_ - left) < 0.005 and abs(end - right) < 0.005


def test_the_drawing_follows_a_change_within_a_second(make_node, browser):
    node = machine(make_node)
    look(browser, node)
    wanted = {"all-3g.40gb": ["3g.40gb"] * 2, "all-1g.10gb": ["1g.10gb"] * 7,
              "all-balanced": ["1g.10gb"] * 2 + ["2g.20gb", "3g.40gb"]}
    for config, row in wanted.items():
        node.relabel(config)
        done = time.monotonic()
        wait_until(lambda: names(browser) == [row] * 8, lambda: str(names(browser)))
        late = time.monotonic() - done
        print(f"{config}: drawn {late:.3f} s after the Node was told")
        assert late < 1


def test_who_has_it_is_told_by_keyboard(make_node, browser):
    node = machine(make_node)
    busy(node, 3, work=False)
    look(browser, node)
    wait_until(lambda: browser.execute_script(
        "return all().filter(d => d.pods.length).length") == 3, "three pods")
    active = lambda: browser.switch_to.active_element  # noqa: E731
    stops = []
    for _ in range(16):
        active().send_keys(Keys.TAB)
        stops.append(browser.execute_script(
            "const e = document.activeElement; return e.id || e.className"))
    assert stops[:4] == ["skip", "find", "view", "slice held"], stops
    assert stops[4] == "about" and "events" in stops  # one stop for all the slices
    browser.find_element(By.CSS_SELECTOR, ".slice[tabindex='0']").send_keys(Keys.HOME)
    where = lambda: active().get_attribute("aria-label")  # noqa: E731
    assert where().startswith("GPU 0, 1g.10gb, unit 0 of 8, held, default/")
    active().send_keys(Keys.ARROW_RIGHT)
    assert where().startswith("GPU 0, 1g.10gb, unit 1 of 8")
    active().send_keys(Keys.ARROW_DOWN)
    assert where().startswith("GPU 1, 1g.10gb, unit 1 of 8")
    active().send_keys(Keys.END)
    assert where().startswith("GPU 7, 1g.10gb, unit 6 of 8")
    assert "GPU 7" in browser.find_element(By.ID, "about").text
    # the focus outlives a change of what has it
    node.kubelet.delete("train-0")
    for pod in ("infer-1", "notebook-2"):
        node.kubelet.delete(pod)
    node.relabel("all-3g.40gb")
    wait_until(lambda: [len(row) for row in names(browser)] == [2] * 8, "drawn anew")
    assert "slice" in active().get_attribute("class")
    # and the table tells the same
    browser.find_element(By.ID, "view").send_keys(Keys.ENTER)
    rows = browser.find_elements(By.CSS_SELECTOR, "#rows tr")
    assert len(rows) == 16 and rows[0].text.split()[:2] == ["0", "3g.40gb"]


def test_a_pod_is_found(make_node, browser):
    node = machine(make_node)
    busy(node, 6, work=False)
    look(browser, node)
    browser.find_element(By.ID, "find").send_keys("infer")
    wait_until(lambda: browser.find_element(By.ID, "found").text == "2 found", "two of them")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".slice.hit")) == 2


def test_hostile_names_are_text(make_node, browser):
    node = machine(make_node)
    for name in HOSTILE:
        node.kubelet.add(name, "nvidia.com/mig-1g.10gb")
        node.wait_phase("Running", name)
    look(browser, node)
    shown = lambda: {e.get_attribute("textContent") for e in  # noqa: E731
                     browser.find_elements(By.CSS_SELECTOR, ".slice .who")}
    wait_until(lambda: set(HOSTILE) <= shown(), lambda: str(shown()))
    for e in browser.find_elements(By.CSS_SELECTOR, ".slice.held"):
        e.click()
    browser.find_element(By.ID, "view").click()
    assert browser.execute_script("return window.pwned") is None
    assert browser.execute_script("return document.scripts.length") == 1
    assert browser.find_elements(By.TAG_NAME, "img") == []


def test_it_says_so_when_the_agent_is_gone_and_comes_back(make_node, browser):
    node = machine(make_node)
    look(browser, node)
    link = lambda: browser.find_element(By.ID, "link").text  # noqa: E731
    assert link() == "live"
    port = address(node).rsplit(":", 1)[1]
    node.agent.stop()
    wait_until(lambda: link() != "live", "it is said")
    node.agent.start(*[f"127.0.0.1:{port}" if f == "127.0.0.1:0" else f for f in node.agent.flags])
    wait_until(lambda: link() == "live", "back")
    browser.get_log("browser")  # of the time without


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_and_it_is_photographed(make_node, browser, colours):
    node = machine(make_node)
    busy(node, 30)
    theme(browser, colours)
    look(browser, node)
    wait_until(lambda: browser.execute_script(
        "return all().filter(d => d.pods.length && d.of.utilisation > 0).length") == 30, "30 at work")
    node.relabel("all-3g.40gb", "pending")
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".slice.going") or
               browser.find_element(By.ID, "waits").text != "nothing waits", "something waits")
    browser.execute_script(AXE.read_text())
    for view in ("drawing", "table"):
        if view == "table":
            browser.find_element(By.ID, "view").click()
        found = browser.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])")
        assert len(found["passes"]) > 20
        bad = [(v["impact"], v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]
        print(f"axe-core {found['testEngine']['version']}, {colours}, {view}: {len(bad)} findings, "
              f"{len(found['passes'])} rules passed")
        assert bad == []
        if SCREENSHOTS and view == "drawing":
            browser.save_screenshot(f"{SCREENSHOTS}/page-{colours}.png")
