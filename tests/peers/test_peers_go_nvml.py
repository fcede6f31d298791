"""Examples of NVIDIA's Go bindings."""
from harness import run


def test_devices(here, peer):
    machine = here("mixed", "all-balanced")
    text = machine.run(peer("bin/devices-0.13.4-1"))
    assert text.count("uuid=GPU-") == 5 and text.count("mode={") == 5


def test_compute_processes(here, peer):
    machine = here("g5.48xlarge")
    run("sim", "process", machine.dir, "add", "--gpu", 3, "--pid", 4003, "--memory", 1000)
    text = machine.run(peer("bin/compute-processes-0.13.4-1"))
    assert "4003" in text
