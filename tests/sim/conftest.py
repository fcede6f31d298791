"""A simulated machine for each test."""
import pytest

from machine import Machine


@pytest.fixture
def machine(kerf, tmp_path):
    """machine("p4d.24xlarge") makes one; they end with the test."""
    made = []

    def make(name, *options):
        made.append(Machine(kerf, tmp_path / f"machine{len(made)}", name, *options))
        return made[-1]

    return make


@pytest.fixture
def driver(machine):
    """driver("p4d.24xlarge") makes a machine and opens its driver library: (machine, nvml)."""
    opened = []

    def make(name, *options):
        made = machine(name, *options)
        opened.append(made.open())
        return made, opened[-1]

    yield make
    for nvml in opened:
        nvml.try_("Shutdown")
