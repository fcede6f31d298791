"""Programs that none of us wrote, unmodified, on simulated machines."""
import ctypes
import json
import subprocess

import pytest

SCRIPT = """
from pynvml import *
nvmlInit()
print(nvmlSystemGetDriverVersion(), nvmlSystemGetCudaDriverVersion_v2(), nvmlDeviceGetCount())
for i in range(nvmlDeviceGetCount()):
    gpu = nvmlDeviceGetHandleByIndex(i)
    print(nvmlDeviceGetName(gpu), nvmlDeviceGetMigMode(gpu), nvmlDeviceGetPciInfo(gpu).busId,
          nvmlDeviceGetMemoryInfo(gpu, version=nvmlMemory_v2).total >> 20,
          [p.pid for p in nvmlDeviceGetComputeRunningProcesses(gpu)])
gpu = nvmlDeviceGetHandleByIndex(0)
for index in range(nvmlDeviceGetMaxMigDeviceCount(gpu)):
    try:
        mig = nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
    except NVMLError_NotFound:
        continue
    print(nvmlDeviceGetName(mig), nvmlDeviceGetUUID(mig), nvmlDeviceGetAttributes_v2(mig).memorySizeMB,
          nvmlDeviceGetGpuInstanceId(mig), nvmlDeviceGetComputeInstanceId(mig))
nvmlShutdown()
"""


@pytest.fixture
def sliced(driver):
    """An 8xA100 with three MIG devices on GPU 0 and work on GPUs 0 and 1."""
    machine, nvml = driver("p4d.24xlarge")
    gpu = nvml.gpu(0)
    nvml.set_mig(gpu, 1)
    for pid, constant in ((9, 2), (19, 0), (14, 1)):
        nvml.create_ci(nvml.create(gpu, pid), constant)
    machine.do("process", "add", "--gpu", 0, "--gi", 2, "--ci", 0, "--pid", 4001, "--memory", 1000)
    machine.do("process", "add", "--gpu", 1, "--pid", 4002, "--memory", 2000, "--sm", 40)
    return machine


def run(machine, *command):
    done = subprocess.run([str(c) for c in command], env=machine.env(), capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_script_of_nvidia_ml_py(sliced, venv):
    lines = run(sliced, venv / "bin/python", "-c", SCRIPT).splitlines()
    assert lines[0] == "580.159.04 13000 8"
    assert lines[1] == "NVIDIA A100-SXM4-40GB [1, 1] 00000000:10:1C.0 40960 [4001]"
    assert lines[2].endswith("[0, 0] 00000000:10:1D.0 40960 [4002]")
    assert [line.split(" MIG ")[1].split()[0] for line in lines[9:]] == [
        "3g.20gb", "1g.5gb", "2g.10gb"]


def test_gpustat(sliced, venv):
    seen = json.loads(run(sliced, venv / "bin/gpustat", "--json"))
    assert len(seen["gpus"]) == 8
    assert seen["driver_version"] == "580.159.04"
    one = seen["gpus"][1]
    assert (one["name"], one["utilization.gpu"], one["memory.total"]) == (
        "NVIDIA A100-SXM4-40GB", 40, 40960)
    assert one["memory.used"] >= 2000
    assert "NVIDIA A100-SXM4-40GB" in run(sliced, venv / "bin/gpustat", "--no-color")


@pytest.mark.parametrize("name", ["p4d.24xlarge", "p5.48xlarge", "mixed", "g5.48xlarge"])
def test_gpustat_on_every_kind(machine, venv, name):
    made = machine(name)
    seen = json.loads(run(made, venv / "bin/gpustat", "--json"))
    assert len(seen["gpus"]) == len(made.show()["gpus"])


def test_nvitop(sliced, venv):
    text = run(sliced, venv / "bin/nvitop", "--once", "--ascii")
    assert "580.159.04" in text and "A100-SXM4-40GB" in text
    assert "3g.20gb" in text


@pytest.mark.parametrize("name", ["p5.48xlarge", "mixed", "g4dn.xlarge"])
def test_nvitop_on_every_kind(machine, venv, name):
    assert "580.159.04" in run(machine(name), venv / "bin/nvitop", "--once", "--ascii")


def test_the_shell_exports_are_enough(machine):
    made = machine("g6.xlarge")
    text = subprocess.run(["sh", "-c", f"eval \"$({made.kerf} sim env {made.dir})\"; nvidia-smi -L"],
                          capture_output=True, text=True, check=True).stdout
    assert text.startswith("GPU 0: NVIDIA L4 (UUID: GPU-")


@pytest.mark.parametrize("call", ["Init", "Shutdown", "GetDriverVersion", "GetGpuResource", "GetFileContent"])
def test_nvidia_container_toolkit_is_told_that_there_is_no_sandbox(machine, call):
    library = machine("g6.xlarge").library.parent / "libnvidia-sandboxutils.so.1"
    assert getattr(ctypes.CDLL(str(library)), "nvSandboxUtils" + call)(None) == 2
