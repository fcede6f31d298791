"""Programs of Debian: nvidia-smi of the 535 driver, nvtop, hwloc's plugin."""
import re
import subprocess

import pytest

DRIVER = ("--driver", "535.261.03")  # nvidia-smi wants the library's version to be its own
SMI = "deb/usr/lib/nvidia/current/nvidia-smi"


@pytest.fixture
def smi(here, peer):
    """smi("p4d.24xlarge")("-L"): what nvidia-smi prints."""
    program = peer(SMI)

    def on(name):
        machine = here(name, None, *DRIVER)
        return lambda *args, check=True: machine.run(program, *args, check=check)
    return on


@pytest.mark.parametrize("name,count", [
    ("p4d.24xlarge", 8), ("p5.48xlarge", 8), ("a30x4", 4), ("g4dn.xlarge", 1), ("g5.48xlarge", 8),
    ("p3.2xlarge", 1), ("mixed", 5)])
def test_nvidia_smi_shows_every_machine(smi, name, count):
    on = smi(name)
    assert len(on("-L").splitlines()) == count
    assert "535.261.03" in on()
    assert on("-q").count("GPU UUID") == count
    assert on("-q", "-x").count("</gpu>") == count
    rows = on("--query-gpu=index,name,uuid,memory.total,mig.mode.current,pci.bus_id", "--format=csv,noheader")
    assert len(rows.splitlines()) == count


def test_nvidia_smi_cuts_and_takes_down(smi):
    """The commands of NVIDIA's MIG guide."""
    on = smi("p4d.24xlarge")
    assert "Enabled MIG Mode for GPU 00000000:10:1C.0" in on("-i", "0", "-mig", "1")
    profiles = re.findall(r"MIG (\S+) +(\d+) +(\d)/(\d)", on("mig", "-lgip"))
    assert profiles == [("1g.5gb", "19", "7", "7"), ("1g.5gb+me", "20", "1", "1"), ("1g.10gb", "15", "4", "4"),
                        ("2g.10gb", "14", "3", "3"), ("3g.20gb", "9", "2", "2"), ("4g.20gb", "5", "1", "1"),
                        ("7g.40gb", "0", "1", "1")]
    assert "Profile ID 14 Placements: {0,2,4}:2" in on("mig", "-lgipp")
    made = on("mig", "-i", "0", "-cgi", "9,3g.20gb", "-C")
    assert made.count("Successfully created GPU instance") == 2
    assert made.count("Successfully created compute instance") == 2
    assert on("-L").count("MIG 3g.20gb") == 2
    assert on("mig", "-lgi").count("3g.20gb") == 2 and on("mig", "-lci").count("3g.20gb") == 2
    assert "1c.3g.20gb" in on("mig", "-lcip")
    assert "19968MiB" in on()
    assert on("mig", "-i", "0", "-cgi", "0", check=False).returncode != 0  # no room
    assert on("mig", "-i", "0", "-dgi", check=False).returncode != 0  # compute instances are on them
    assert on("mig", "-i", "0", "-dci").count("Successfully destroyed") == 2
    assert on("mig", "-i", "0", "-dgi").count("Successfully destroyed") == 2
    assert "Disabled MIG Mode" in on("-i", "0", "-mig", "0")


def test_nvidia_smi_shows_p2p(smi):
    matrix = smi("p4d.24xlarge")("topo", "-p2p", "n")
    assert matrix.count("OK") >= 8 * 7


def test_nvtop(here, peer):
    """It draws a screen, so it is given one, and the key that ends it."""
    machine, program = here("p4d.24xlarge", "all-balanced"), peer("deb/usr/bin/nvtop")
    done = subprocess.run(["script", "-qec", f"{program} -C", "/dev/null"], text=True, errors="replace",
                          input="q", env=machine.env(TERM="xterm", COLUMNS="200", LINES="60"), timeout=60,
                          stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    assert done.stdout.count("A100-SXM4-40GB") >= 8


def test_hwloc_sees_the_gpus(here, peer):
    """lstopo with hwloc's NVML plugin."""
    machine = here("p4d.24xlarge")
    library = peer("deb/usr/lib/x86_64-linux-gnu/libhwloc.so.15").parent
    text = machine.run(peer("deb/usr/bin/lstopo-no-graphics"), "--of", "console", "--whole-io",
                       HWLOC_PLUGINS_PATH=str(library / "hwloc"),
                       LD_LIBRARY_PATH=f"{machine.library_path}:{library}")
    assert len(set(re.findall(r"nvml\d", text))) == 8


def test_nvsmi_of_pypi_reads_nvidia_smi(here, peer):
    machine = here("p4d.24xlarge", None, *DRIVER)
    path = f"{peer(SMI).parent}:{machine.env()['PATH']}"
    text = machine.run(peer("py/bin/nvsmi"), "ls", PATH=path)
    assert text.count("mem_total: 40960.0MB") == 8
