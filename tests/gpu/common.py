"""What the checks on real hardware share: outcomes, figures, programs and the driver by ctypes."""
import csv
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
sys.path[:0] = [str(TREE / "tests/sim"), str(TREE / "tests/node")]

# The settings of a GPU that nothing here may change.
SETTINGS = ("uuid,mig.mode.current,mig.mode.pending,compute_mode,persistence_mode,"
            "ecc.mode.current,power.limit,clocks.max.sm,clocks.applications.graphics")


class Outcome:
    """Counts checks, keeps figures; says each as it comes."""

    def __init__(self):
        self.passed, self.failed, self.skipped, self.figures = 0, [], [], []

    def check(self, what, ok, seen=""):
        print(f"{'ok    ' if ok else 'FAILED'} {what}{'' if ok else f': {seen}'}", flush=True)
        if ok:
            self.passed += 1
        else:
            self.failed.append(what)
        return bool(ok)

    def equal(self, what, ours, theirs):
        return self.check(f"{what}: {str(theirs)[:100]}" if ours == theirs else what,
                          ours == theirs, f"kerf says {ours}, not {theirs}")

    def skip(self, what, why):
        print(f"skipped {what}: {why}", flush=True)
        self.skipped.append(what)

    def figure(self, what, value, unit, note=""):
        value = round(value, 3) if isinstance(value, float) else value
        print(f"figure {what}: {value} {unit}{f'  ({note})' if note else ''}", flush=True)
        self.figures.append({"what": what, "value": value, "unit": unit, "note": note})

    def median(self, what, values, unit, note=""):
        spread = f"{len(values)} times, {min(values):.3f} to {max(values):.3f}"
        self.figure(what, float(statistics.median(values)), unit,
                    f"median; {spread}{'; ' + note if note else ''}")

    def end(self):
        line = f"{self.passed} passed, {len(self.failed)} failed"
        if self.skipped:
            line += f", {len(self.skipped)} skipped"
        for what in self.failed:
            print(f"failed: {what}")
        print(line, flush=True)
        return 1 if self.failed else 0


class Place:
    """The machine under test: which kerf, which root, which state folder."""

    def __init__(self, kerf, root, folder):
        self.kerf, self.root, self.folder = pathlib.Path(kerf), root, folder

    def run(self, *words):
        """(status, standard output, standard error) of kerf with these words."""
        words = [str(w) for w in words] + ["--root", self.root, "--state-dir",
                                           str(self.folder / "nobody")]
        done = subprocess.run([self.kerf, *words], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def status(self):
        return json.loads(self.run("status", "-o", "json")[1])


def find_kerf():
    """KERF; else that of a bundle, when this file lies in one; else the build's."""
    bundle = TREE / "bin/kerf"
    build = pathlib.Path(os.environ.get("KERF_BUILD", TREE / "build")) / "kerf"
    return os.environ.get("KERF") or str(bundle if bundle.exists() else build)


def has_nvidia_smi():
    """A simulated machine has an empty file of that name."""
    return "KERF_SIM_DIR" not in os.environ and shutil.which("nvidia-smi") is not None


def nvidia_smi(fields):
    """One dict a GPU, or None where there is no nvidia-smi."""
    if not has_nvidia_smi():
        return None
    done = subprocess.run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
                          capture_output=True, text=True, timeout=60, check=True)
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [dict(zip(fields.split(","), row)) for row in rows]


def open_nvml():
    """The driver library by tests/sim/nvml.py, initialised; (nvml, "") or (None, why not)."""
    from nvml import Nvml, Refused
    try:
        nvml = Nvml("libnvidia-ml.so.1")
        nvml.call("Init_v2")
    except (OSError, Refused) as error:
        return None, str(error)
    return (nvml, "") if nvml.count() else (None, "the driver lists no GPU")


def timed_ms(function):
    begin = time.monotonic()
    function()
    return (time.monotonic() - begin) * 1000
