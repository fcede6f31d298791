"""Every name of NVIDIA's default MIG configurations on the simulated machines, by the commands.

What is expected is read from the default file by another YAML reader and by PCI ids in sysfs.
"""
import collections
import json
import pathlib
import subprocess

import pytest
import yaml

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
DEFAULT = yaml.safe_load((TREE / "src/config/default-mig.yaml").read_text())["mig-configs"]
MACHINES = ["p4d.24xlarge", "p4de.24xlarge", "a30x4", "p5.48xlarge", "p5en.48xlarge",
            "p6-b200.48xlarge", "g7e.12xlarge", "mixed"]


class Machine:
    """A simulated machine, and kerf's commands on it."""

    def __init__(self, kerf, name, folder):
        self.kerf, self.folder = kerf, folder
        subprocess.run([kerf, "sim", "create", name, folder / "m"], check=True,
                       stdout=subprocess.DEVNULL)

    def run(self, command, *args):
        """(exit status, standard output, standard error)"""
        done = subprocess.run([self.kerf, command, "--root", self.folder / "m/root",
                               "--state-dir", self.folder / "state", *args], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def pci(self):
        """PCI device and vendor of each NVIDIA GPU in NVML's order: 0x20B010DE."""
        devices = sorted((self.folder / "m/root/sys/bus/pci/devices").iterdir())
        ids = [(int((d / "device").read_text(), 16), int((d / "vendor").read_text(), 16))
               for d in devices if (d / "class").read_text().startswith("0x03")]
        return [device << 16 | vendor for device, vendor in ids]


@pytest.fixture(params=MACHINES)
def machine(request, kerf, tmp_path):
    return Machine(kerf, request.param, tmp_path)


def wanted(entries, pci):
    """What the default file says of a GPU: None (nothing), or profile -> count."""
    for entry in entries:
        only = entry.get("device-filter", [])
        only = [only] if isinstance(only, str) else only
        if not only or pci in [int(f, 16) for f in only]:
            return entry.get("mig-devices", {})
    return None


def created(plan, gpu):
    return dict(collections.Counter(s["profile"] for s in plan["steps"]
                                    if s["gpu"] == gpu and s["step"] == "create"))


def test_plans_each_name_as_the_default_file_says(machine):
    assert machine.run("apply", "-c", "all-enabled")[0] == 0
    meant = 0
    for name, entries in DEFAULT.items():
        expected = [wanted(entries, pci) for pci in machine.pci()]
        status, out, err = machine.run("plan", "-c", name, "-o", "json")
        if not any(e is not None for e in expected):
            assert status == 0 or (status == 2 and "matches no GPU of this node" in err), (name, err)
            continue
        assert status == 0, (name, err)
        for gpu, counts in enumerate(expected):
            if counts:
                assert created(json.loads(out), gpu) == counts, (name, gpu)
                meant += 1
    assert meant >= 6 * len([p for p in machine.pci() if p not in (0x1EB810DE,)])


def test_what_is_applied_asserts_true_and_exports_as_itself(machine):
    names = [n for n, entries in DEFAULT.items()
             if any(wanted(entries, pci) for pci in machine.pci())]
    file = machine.folder / "exported.yaml"
    for name in names:
        status, _, err = machine.run("apply", "-c", name)
        assert status == 0, (name, err)
        assert machine.run("assert", "-c", name)[0] == 0, name
        status, text, err = machine.run("export")
        assert status == 0, (name, err)
        file.write_text(text)
        assert machine.run("assert", "-f", file, "-c", "current")[0] == 0, (name, text)
        status, _, err = machine.run("assert", "-c", "all-disabled")
        assert status == 3, (name, err)


def test_nothing_is_changed_by_a_configuration_that_is_already_there(machine):
    assert machine.run("apply", "-c", "all-balanced")[0] == 0
    before = machine.run("status", "-o", "json")[1]
    status, out, _ = machine.run("apply", "-c", "all-balanced")
    assert status == 0 and "done in" not in out
    assert machine.run("status", "-o", "json")[1] == before


def test_a_file_from_standard_input_is_refused_by_its_line(kerf, tmp_path):
    machine = Machine(kerf, "p4d.24xlarge", tmp_path)
    done = subprocess.run([kerf, "plan", "--root", tmp_path / "m/root", "-f", "-", "-c", "x"],
                          input="version: v1\nmig-configs:\n  x:\n  - device: all\n", text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr == ("kerf: standard input:4: device: unknown key; did you mean devices?\n")
    assert machine.run("status")[0] == 0
