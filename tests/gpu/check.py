#!/usr/bin/env python3
"""kerf on real hardware against nvidia-smi, nvidia-ml-py, the recordings and a stand-in kubelet.

    python3 tests/gpu/check.py [--only PART]... [--out FILE]

Plain Python; nothing is changed on any GPU (asked of nvidia-smi before and after).  Where there is
no GPU it says so and ends with status 0.  The same runs on a simulated machine, with what
`kerf sim env DIR` exports and `--root DIR/root`; what takes real hardware is skipped there.
Lines: ok, FAILED, skipped, figure; the last one counts them.  --out writes figures as JSON.
"""
import argparse
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from common import (SETTINGS, Outcome, Place, find_kerf, has_nvidia_smi, nvidia_smi, open_nvml,
                    timed_ms)
import calls
import node
import sharing


def bus_id(text):
    return text.strip().upper()


def check_status_by_smi(out, status):
    """Everything that `kerf status` says of a GPU and nvidia-smi says as well."""
    fields = ("index,uuid,name,pci.bus_id,memory.total,mig.mode.current,mig.mode.pending,"
              "driver_version")
    rows = nvidia_smi(fields)
    if rows is None:
        return out.skip("status against nvidia-smi", "no nvidia-smi here")
    out.equal("number of GPUs as nvidia-smi", len(status["gpus"]), len(rows))
    for gpu, row in zip(status["gpus"], rows):
        mig = {"Enabled": True, "Disabled": False}
        for what, ours, theirs in (
                ("index", gpu["index"], int(row["index"])),
                ("uuid", gpu["uuid"], row["uuid"]),
                ("name", gpu["name"], row["name"]),
                ("bus id", bus_id(gpu["busId"]), bus_id(row["pci.bus_id"])),
                ("memory MiB", gpu["memoryMiB"], int(row["memory.total"])),
                ("MIG mode", gpu["mig"]["current"], mig.get(row["mig.mode.current"])),
                ("MIG mode pending", gpu["mig"]["pending"], mig.get(row["mig.mode.pending"])),
                ("driver", status["driver"]["version"], row["driver_version"])):
            out.equal(f"gpu {gpu['index']} {what} as nvidia-smi", ours, theirs)
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    for gpu in status["gpus"]:
        line = f"GPU {gpu['index']}: {gpu['name']} (UUID: {gpu['uuid']})"
        out.check(f"nvidia-smi -L has the line of gpu {gpu['index']}", line in listed, listed)


def check_status_by_nvidia_ml_py(out, status):
    try:
        import pynvml as p
    except ImportError:
        return out.skip("status against nvidia-ml-py", "not installed")
    p.nvmlInit()
    cuda = p.nvmlSystemGetCudaDriverVersion()
    out.equal("driver as nvidia-ml-py", status["driver"]["version"], p.nvmlSystemGetDriverVersion())
    out.equal("CUDA as nvidia-ml-py", status["driver"]["cuda"],
              f"{cuda // 1000}.{cuda % 1000 // 10}")
    out.equal("number of GPUs as nvidia-ml-py", len(status["gpus"]), p.nvmlDeviceGetCount())
    for gpu in status["gpus"]:
        h = p.nvmlDeviceGetHandleByUUID(gpu["uuid"])
        for what, ours, theirs in (
                ("name", gpu["name"], p.nvmlDeviceGetName(h)),
                ("minor", gpu["minor"], p.nvmlDeviceGetMinorNumber(h)),
                ("bus id", gpu["busId"], p.nvmlDeviceGetPciInfo(h).busId),
                ("memory MiB", gpu["memoryMiB"], p.nvmlDeviceGetMemoryInfo(h).total >> 20),
                ("MIG modes", [int(gpu["mig"]["current"]), int(gpu["mig"]["pending"])],
                 p.nvmlDeviceGetMigMode(h)),
                ("processes", gpu["processes"], len(p.nvmlDeviceGetComputeRunningProcesses(h)))):
            out.equal(f"gpu {gpu['index']} {what} as nvidia-ml-py", ours, theirs)
    p.nvmlShutdown()


# How status -o json calls what NVML calls otherwise.
PROFILE_FIELDS = {"id": "id", "slices": "sliceCount", "count": "instanceCount",
                  "memoryMiB": "memorySizeMB", "sm": "multiprocessorCount",
                  "copy": "copyEngineCount", "decoders": "decoderCount",
                  "encoders": "encoderCount", "jpeg": "jpegCount", "ofa": "ofaCount"}


def driver_profiles(nvml, index):
    """{name: (fields of NVML, [(start, size), ...])} as the driver lists them now."""
    gpu = nvml.gpu(index)
    return {name: (info.fields(), nvml.placements(gpu, info.id))
            for name, info in nvml.profiles(gpu).items()}


def our_profile(p):
    return ({theirs: p[ours] for ours, theirs in PROFILE_FIELDS.items()},
            [(start, p["size"]) for start in p["starts"]])


def check_profiles(out, status, nvml):
    for gpu in status["gpus"]:
        theirs = driver_profiles(nvml, gpu["index"])
        ours = {p["name"]: our_profile(p) for p in gpu["profiles"]}
        out.equal(f"gpu {gpu['index']} names of profiles as the driver's", sorted(ours),
                  sorted(theirs))
        for name in sorted(set(ours) & set(theirs)):
            fields, places = theirs[name]
            wanted = ({k: fields[k] for k in PROFILE_FIELDS.values()}, sorted(places))
            out.equal(f"gpu {gpu['index']} {name}", ours[name], wanted)


def find_recording(name):
    folder = pathlib.Path(__file__).resolve().parent.parent / "sim/recordings"
    for path in sorted(folder.glob("*.json")):
        recorded = json.loads(path.read_text())
        if recorded["devices"][0]["Name"] == name:
            return path.stem, recorded
    return None, None


# What a GPU of the same product has in common with the one recorded.
STATIC = """Name Brand Architecture CudaComputeCapability NumGpuCores MemoryBusWidth
    MaxPcieLinkGeneration MaxPcieLinkWidth MaxClockInfo TemperatureThreshold
    PowerManagementLimitConstraints SupportedEventTypes GpmSupport MigMode MaxMigDeviceCount
    GpuInstanceProfiles Attributes_v2""".split()


def differing(now, recorded):
    """What of the two is not equal, each as (now, recorded)."""
    if not isinstance(now, dict) or not isinstance(recorded, dict):
        return now, recorded
    return {k: (now.get(k), recorded.get(k)) for k in now | recorded
            if now.get(k) != recorded.get(k)}


def check_recording(out, status, nvml):
    """All that was recorded, asked again: static things must be equal, others are told."""
    label, recorded = find_recording(status["gpus"][0]["name"])
    if not recorded:
        return out.skip("recording", f"there is none of {status['gpus'][0]['name']}")
    if not importlib.util.find_spec("pytest"):
        return out.skip("recording", "the tests that know how to ask import pytest")
    from test_sim_recordings import NOT_COMPARED, Player, without_live
    player, same, other = Player(nvml), 0, []
    for key, value in recorded["devices"][0].items():
        if key in NOT_COMPARED:
            continue
        now, value = without_live(key, player.ask(key)), without_live(key, value)
        equal = now == value
        same += equal
        if key in STATIC:
            out.check(f"{key} as in the recording {label}", equal, f"{now} was {value}")
        elif not equal:
            other.append(key)
            print(f"       {key} is not as recorded: {differing(now, value)}")
    out.figure(f"queries answered as in the recording {label}", same, "",
               f"of {same + len(other)}; besides, {len(NOT_COMPARED)} excepted by name; "
               f"others: {', '.join(other) or 'none'}")


def check_export(out, place, status):
    on = [g["mig"]["current"] for g in status["gpus"]]
    code, text, _ = place.run("export", "-o", "json")
    entries = json.loads(text)["mig-configs"]["current"]
    out.equal("export ends with status", code, 0)
    out.check("export names the MIG mode of every GPU",
              all(e["mig-enabled"] == any(on) for e in entries) if len(set(on)) == 1
              else {e["mig-enabled"] for e in entries} == {True, False}, text)
    (place.folder / "exported.yaml").write_text(place.run("export")[1])
    code, _, why = place.run("assert", "-f", place.folder / "exported.yaml", "-c", "current")
    out.check("assert agrees with what export wrote", code == 0, why)
    if any(on):
        return out.skip("assert of all-disabled", "MIG is on")
    code, _, why = place.run("assert", "-c", "all-disabled")
    out.check("assert -c all-disabled agrees, as MIG is off", code == 0, why)
    code, _, why = place.run("assert", "-c", "all-enabled", "-m")
    out.check("assert -c all-enabled differs, with status 3 and the reason",
              code == 3 and "MIG is off" in why, f"{code} {why}")


def is_balanced(gpu, steps):
    """MIG on first, then 1g 1g 2g 3g of the driver's own profiles, side by side."""
    table = {p["name"]: p for p in gpu["profiles"]}
    creates = steps[1:]
    taken = [u for s in creates for u in range(s["start"], s["start"] +
                                               table[s["profile"]]["size"])]
    return (steps[0]["step"] == "mig-on" and all(s["step"] == "create" for s in creates)
            and sorted(table[s["profile"]]["slices"] for s in creates) == [1, 1, 2, 3]
            and all(s["start"] in table[s["profile"]]["starts"] for s in creates)
            and len(taken) == len(set(taken)))


def check_plan(out, place, status):
    if any(g["mig"]["current"] or len(g["profiles"]) < 6 for g in status["gpus"]):
        return out.skip("plan", "made for GPUs of seven slices with MIG off")
    code, text, why = place.run("plan", "-c", "all-balanced", "-o", "json")
    if out.check("plan -c all-balanced ends with status 0", code == 0, why):
        steps = json.loads(text)["steps"]
        for gpu in status["gpus"]:
            own = [s for s in steps if s["uuid"] == gpu["uuid"]]
            out.check(f"gpu {gpu['index']}: plan of all-balanced is legal on its driver's table",
                      is_balanced(gpu, own), own)
    code, text, _ = place.run("plan", "-c", "all-disabled")
    out.check("plan -c all-disabled has nothing to do", code == 0 and "nothing to do" in text, text)
    code, _, why = place.run("plan", "-c", "all-9g.99gb")
    out.check("plan of a configuration that is none is refused", code == 2 and "all-9g" in why, why)


def measure_commands(out, place):
    out.median("kerf --version", [timed_ms(lambda: subprocess.run([place.kerf, "--version"],
               capture_output=True)) for _ in range(20)], "ms", "exec and exit")
    out.median("kerf status -o json", [timed_ms(place.status) for _ in range(20)], "ms",
               "exec, a whole reading of the driver, exit")
    out.median("kerf export", [timed_ms(lambda: place.run("export")) for _ in range(5)], "ms")
    if has_nvidia_smi():
        smi = [timed_ms(lambda: subprocess.run(["nvidia-smi", "-L"], capture_output=True))
               for _ in range(5)]
        out.median("nvidia-smi -L, for comparison", smi, "ms")


PARTS = ("driver", "calls", "node", "sharing")


def run(out, place, nvml, parts):
    before = nvidia_smi(SETTINGS)
    status = place.status()
    print(f"{status['driver']} {[g['name'] for g in status['gpus']]}")
    if "driver" in parts:
        check_status_by_smi(out, status)
        check_status_by_nvidia_ml_py(out, status)
        check_profiles(out, status, nvml)
        check_recording(out, status, nvml)
        check_export(out, place, status)
        check_plan(out, place, status)
        measure_commands(out, place)
    if "calls" in parts:
        calls.measure(out)
    if "node" in parts:
        node.run(out, place, status)
    if "sharing" in parts:
        sharing.run(out, place, status, find_recording(status["gpus"][0]["name"])[1])
    if before is not None:
        out.check("no setting of any GPU is changed", before == nvidia_smi(SETTINGS),
                  f"{before} became {nvidia_smi(SETTINGS)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kerf", default=find_kerf())
    parser.add_argument("--root", default="/")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", choices=PARTS, action="append", help="one part, or several")
    options = parser.parse_args()
    nvml, why = open_nvml()
    if not nvml:
        print(f"skipped: no GPU here ({why})")
        return 0
    out, folder = Outcome(), pathlib.Path(tempfile.mkdtemp(prefix="kg-", dir="/tmp"))
    try:
        run(out, Place(options.kerf, options.root, folder), nvml, options.only or PARTS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if options.out:
            options.out.write_text(json.dumps({"figures": out.figures, "failed": out.failed,
                                               "skipped": out.skipped}, indent=1) + "\n")
    return out.end()


if __name__ == "__main__":
    sys.exit(main())
