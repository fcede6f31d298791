"""A driver that is slow or hangs costs its own metrics, and nobody's time."""
import time

import pytest

from support import SANITIZED, Client, address, fresh, load, start, wait_until


def scrape_ms(client):
    began = time.perf_counter()
    scrape = client.scrape()
    return scrape, (time.perf_counter() - began) * 1000


def leave(node):
    """End an agent with a thread in the driver: the look for leaks cannot stop such a one."""
    if SANITIZED:
        node.agent.kill()
    else:
        node.agent.stop()


def test_a_scrape_answers_while_a_call_of_the_drivers_hangs(make_node):
    """Without a clock: the call is still under way when the answer is there."""
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    node.machine.fault("nvmlDeviceGetPowerUsage", "SUCCESS", "--delay", 30000, "--times", 1)
    calls = node.machine.show()["calls"]
    wait_until(lambda: node.machine.show()["calls"] != calls, "a reading began")
    times = []
    for _ in range(50):
        scrape, ms = scrape_ms(client)
        times.append(ms)
    print(f"scrapes while a call hangs: p50 {sorted(times)[25]:.2f} ms, longest {max(times):.2f} ms")
    # it hangs for 30 s, and that is far from over
    assert len(times) == 50
    leave(node)


def test_a_call_that_hangs_makes_its_gpu_stale_and_no_other(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    node.machine.fault("nvmlDeviceGetPowerUsage", "SUCCESS", "--delay", 25000, "--times", 1)

    def one_is_stale(s=None):
        s = client.scrape()
        stale = [labels["gpu"] for labels, v in s.get("kerf_gpu_reading_stale") if v]
        hung = s.one("kerf_driver_calls_hung_total")
        fresh_ones = [v for labels, v in s.get("kerf_gpu_reading_age_seconds")
                      if labels["gpu"] not in stale]
        return (len(stale) == 1 and hung == 1 and max(fresh_ones) < 1) and (s, stale[0])
    scrape, gpu = wait_until(one_is_stale, lambda: f"one GPU is stale\n{client.scrape().text[-4000:]}",
                             20)
    assert not scrape.get("DCGM_FI_DEV_GPU_TEMP", gpu=gpu)
    assert len(scrape.get("DCGM_FI_DEV_GPU_TEMP")) == 7
    # and when it comes back so does the GPU
    fresh(client, lambda s: len(s.get("DCGM_FI_DEV_GPU_TEMP")) == 8, seconds=60)


def test_calls_of_half_a_second_leave_the_scrape_as_quick(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    node.machine.fault("all", "SUCCESS", "--delay", 500)
    calls = node.machine.show()["calls"]
    wait_until(lambda: node.machine.show()["calls"] != calls, "calls are slow by now")
    times = sorted(scrape_ms(client)[1] for _ in range(200))
    print(f"every call takes 500 ms: scrape p50 {times[100]:.2f} ms, p99 {times[197]:.2f} ms")
    node.machine.fault("all", "--clear")
    fresh(client, seconds=90)


@pytest.mark.parametrize("machine, label", [("p4d.24xlarge", "all-1g.5gb"),
                                            ("p5.48xlarge", "all-1g.10gb")])
def test_measuring_is_in_no_changes_way(make_node, machine, label):
    """An A100 changes its mode only when nobody has the driver open."""
    node = make_node(machine)
    client = start(node)
    fresh(client)
    profile = label.removeprefix("all-")
    for _ in range(5):
        node.relabel(label)
        fresh(client, lambda s: [v for _, v in s.get("kerf_slices", profile=profile, state="free")]
              == [56] and len(s.get("DCGM_FI_DEV_FB_USED")) == 56)
        node.relabel("all-disabled")
        fresh(client, lambda s: not s.get("kerf_slices") and
              len(s.get("DCGM_FI_DEV_FB_USED")) == 8)
    assert not [line for line in node.agent.log(5000).splitlines() if "level=warn" in line]
    scrape = client.scrape()
    assert scrape.one("kerf_geometry_changes_total", result="failed") == 0
    assert scrape.one("kerf_geometry_change_duration_seconds_count") >= 10
    assert scrape.one("kerf_instances_changed_total", kind="created") == 5 * 56


def test_a_change_does_not_wait_for_a_measurement_that_hangs(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    node.machine.fault("nvmlDeviceGetPowerUsage", "SUCCESS", "--delay", 60000, "--times", 1)
    calls = node.machine.show()["calls"]
    wait_until(lambda: node.machine.show()["calls"] != calls, "a reading began")
    node.relabel("all-1g.10gb")
    assert node.machine.profiles() == {"1g.10gb": 56}
    leave(node)


def test_readings_are_quick_only_while_somebody_looks(make_node):
    """The agent's own reading every 10 s is the clock: the sampler's are no more often."""
    node = make_node("p5.48xlarge")
    node.start("--metrics-listen", "127.0.0.1:0")

    def calls(name):
        return node.machine.show()["calls"]["by_name"].get(name, 0) // 8
    wait_until(lambda: calls("nvmlDeviceGetPowerUsage"), "the first reading")
    node.wait_allocatable({"nvidia.com/gpu": 8})
    before = calls("nvmlDeviceGetMigMode")
    wait_until(lambda: calls("nvmlDeviceGetMigMode") > before, "the agent reads again", 40)
    assert calls("nvmlDeviceGetPowerUsage") <= 3
    client = Client(address(node))
    fresh(client, lambda s: s.one("kerf_reading_interval_seconds") == 1)
    wait_until(lambda: calls("nvmlDeviceGetPowerUsage") > 5, "readings are quick now")


def test_a_lost_gpu_is_left_out_and_the_others_are_measured(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client, lambda s: len(s.get("DCGM_FI_DEV_GPU_TEMP")) == 8)
    node.machine.sim("lose", 3)
    wait_until(lambda: len(client.scrape().get("DCGM_FI_DEV_GPU_TEMP")) == 7, "it is left out")
    scrape = client.scrape()
    assert scrape.one("kerf_gpu_healthy", gpu=3) == 0
    assert scrape.one("kerf_gpu_reading_stale", gpu=3) == 1
    node.machine.sim("lose", 3, "--back")
    fresh(client, lambda s: len(s.get("DCGM_FI_DEV_GPU_TEMP")) == 8, seconds=60)


def test_a_reloaded_driver_is_measured_again(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    load(node, 7001, 0, sm=10)
    node.machine.sim("reload")
    fresh(client, lambda s: s.one("DCGM_FI_DEV_GPU_UTIL", gpu=0) == 0, seconds=40)
