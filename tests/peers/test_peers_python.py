"""Programs from PyPI.  gpustat and nvitop are in tests/sim already."""
import pytest

from peer import HERE
from states import EQUAL, MACHINES, config_of

STATES = [(m, s) for m in MACHINES for s in ("off", "empty", "balanced") if s == "off" or m in EQUAL]
NEVER = {999, 13}  # unknown error; function not found


@pytest.mark.parametrize("name,state", STATES, ids=["-".join(s) for s in STATES])
def test_every_function_of_nvidia_ml_py_is_answered(here, peer, name, state):
    """No crash (the script would not end with `whole`), no function missing, no unknown error."""
    machine = here(name, config_of(name, state))
    lines = machine.run(peer("py/bin/python"), HERE / "every_call.py").splitlines()
    assert lines[-1] == "whole", f"the last call before the end: {lines[-1]}"
    calls = [line.split() for line in lines[:-1]]
    assert len(calls) > 400
    wrong = [c for c in calls if c[2].isdigit() and int(c[2]) in NEVER]
    assert not wrong
    ours_to_blame = [c for c in calls if c[2] == "python" and c[3] not in ("TypeError", "AttributeError")]
    assert not ours_to_blame
    assert sum(c[2] == "python" for c in calls) < len(calls) / 20


def test_py3nvml(here, peer):
    """Bindings of 2019: the first versions of each struct."""
    machine = here("p4d.24xlarge", "all-balanced")
    assert "A100" in machine.run(peer("py/bin/python"), "-c", (
        "import py3nvml.py3nvml as p\np.nvmlInit()\nfor i in range(p.nvmlDeviceGetCount()):\n"
        " h = p.nvmlDeviceGetHandleByIndex(i)\n"
        " assert p.nvmlDeviceGetMemoryInfo(h).total == 40960 << 20\n"
        " assert p.nvmlDeviceGetPciInfo(h).pciDeviceId == 0x20B010DE\n"
        " print(p.nvmlDeviceGetName(h), p.nvmlDeviceGetComputeRunningProcesses(h))"))
    assert machine.run(peer("py/bin/py3smi")).count("40960MiB") == 8


def test_glances_shows_each_gpu(here, peer):
    machine = here("g5.48xlarge")
    text = machine.run(peer("py/bin/glances"), "--stdout", "gpu", "--stop-after", "1")
    assert text.count("NVIDIA A10G") == 8


def test_python3_pynvml_of_debian(here, peer):
    """Bindings of 2022 (11.525), as Debian 12 has them."""
    machine = here("p5.48xlarge", "all-balanced")
    folder = peer("deb/usr/lib/python3/dist-packages")
    text = machine.run("/usr/bin/python3", "-c", (
        "from pynvml import *\nnvmlInit()\nfor i in range(nvmlDeviceGetMaxMigDeviceCount("
        "nvmlDeviceGetHandleByIndex(3))):\n try:\n  m = nvmlDeviceGetMigDeviceHandleByIndex("
        "nvmlDeviceGetHandleByIndex(3), i)\n except NVMLError_NotFound:\n  continue\n"
        " print(nvmlDeviceGetName(m), nvmlDeviceGetAttributes(m).memorySizeMB)"), PYTHONPATH=str(folder))
    assert sorted(line.split(" MIG ")[1] for line in text.splitlines()) == [
        "1g.10gb 9984", "1g.10gb 9984", "2g.20gb 20096", "3g.40gb 40448"]
