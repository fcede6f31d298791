"""Time-slicing as the article has it: ten replicas of a GPU, a container of each, all computing."""
import json
import pathlib
import subprocess
import threading
import time

import node
from common import has_nvidia_smi, nvidia_smi

REPLICAS = 10  # what kerf offers for a file that names none, as the article's do not
ARTICLE = pathlib.Path(__file__).resolve().parent.parent / "config/article"


# --- labels ----------------------------------------------------------------------------------


def labels_of(place):
    done = subprocess.run([place.kerf, "labels", "-o", "json", "--no-timestamp", "--replicas",
                           f"{node.GPU}={REPLICAS}", "--root", place.root],
                          capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}


def expected_by_smi(rows):
    """{label: value} that follow from what nvidia-smi says of GPUs of one product."""
    driver = (rows[0]["driver_version"].split(".") + [""])[:3]
    major, _, minor = rows[0]["compute_cap"].partition(".")
    return {"gpu.count": str(len(rows)), "gpu.product": rows[0]["name"].replace(" ", "-") +
            "-SHARED", "gpu.memory": rows[0]["memory.total"], "gpu.replicas": str(REPLICAS),
            "gpu.sharing-strategy": "time-slicing", "gpu.compute.major": major,
            "gpu.compute.minor": minor, "cuda.driver-version.major": driver[0],
            "cuda.driver-version.minor": driver[1], "cuda.driver-version.revision": driver[2],
            "cuda.driver-version.full": rows[0]["driver_version"]}


def expected_by_recording(recorded):
    """The same from a recording of the product, driver aside."""
    major, minor = recorded["devices"][0]["CudaComputeCapability"]
    gpu = recorded["devices"][0]
    return {"gpu.product": gpu["Name"].replace(" ", "-") + "-SHARED",
            "gpu.memory": str(gpu["MemoryInfo"]["total"] >> 20),
            "gpu.compute.major": str(major), "gpu.compute.minor": str(minor)}


def check_labels(out, place, recorded):
    labels = labels_of(place)
    sources = []
    if has_nvidia_smi():
        rows = nvidia_smi("name,memory.total,driver_version,compute_cap")
        sources.append(("nvidia-smi", expected_by_smi(rows)))
    if recorded:
        sources.append(("the recording", expected_by_recording(recorded)))
    for who, expected in sources:
        for name, value in expected.items():
            out.equal(f"label {name} as {who}", labels.get(f"nvidia.com/{name}"), value)
    print("       labels: " + " ".join(f"{k}={v}" for k, v in sorted(labels.items())))


# --- ten containers --------------------------------------------------------------------------


def allocate_all(out, kubelet, wait_until, file):
    """The answers to ten pods; an eleventh has to wait."""
    names = [f"shared-{i}" for i in range(REPLICAS)]
    begin = time.monotonic()
    for name in names:
        kubelet.add(name, node.GPU)
    wait_until(lambda: all(kubelet.pods()[n]["phase"] in ("Running", "Failed") for n in names),
               "ten pods")
    pods = kubelet.pods()
    out.check(f"{file}: ten pods have a replica each",
              all(pods[n]["phase"] == "Running" for n in names) and
              len({d for n in names for d in pods[n]["devices"][node.GPU]}) == REPLICAS, pods)
    out.figure("ten pods, added to allocated", (time.monotonic() - begin) * 1000, "ms")
    kubelet.add("eleventh", node.GPU)
    out.equal("the eleventh waits", kubelet.pods()["eleventh"]["phase"], "Pending")
    kubelet.delete("eleventh")
    return [pods[n]["answers"][0] for n in names], names


def ask_all(processes):
    """A line to each, and what each said to it: all of them work in the same second."""
    for p in processes:
        p.stdin.write("\n")
        p.stdin.flush()
    lines = [None] * len(processes)

    def read(i):
        lines[i] = processes[i].stdout.readline().strip()
    readers = [threading.Thread(target=read, args=(i,)) for i in range(len(processes))]
    for r in readers:
        r.start()
    for r in readers:
        r.join(30)
    return lines


def check_ten(out, place, answers, uuid):
    """Ten processes in ten mount namespaces, each of what its answer has and glibc."""
    directory = "usr/lib/x86_64-linux-gnu"
    probe = node.build_probe(place.folder)
    processes = [node.Container(place, probe, a, directory, a["mounts"], {}, f"shared-{i}").start(
        "/probe") for i, a in enumerate(answers)]
    try:
        begin = time.monotonic()
        said = [node.read_until_ready(p) for p in processes]
        out.check("ten containers computed", all("ready" in lines for lines in said), said)
        out.figure("ten containers, started to computed", (time.monotonic() - begin) * 1000, "ms")
        seen = {line.split()[1] for lines in said for line in lines if line.startswith("gpu ")}
        out.equal("all of them see the one GPU", seen, {uuid})
        again = ask_all(processes)
        counts = [int(a.split()[1]) for a in again if a and a.startswith("computed ")]
        out.check("all ten compute in one second", len(counts) == REPLICAS and min(counts) > 0,
                  again)
        out.figure("kernels and copies of each in that second", min(counts, default=0), "",
                   f"the most {max(counts, default=0)}, together {sum(counts)}")
        gpu = next(g for g in place.status()["gpus"] if g["uuid"] == uuid)
        out.equal("kerf status counts their processes", gpu["processes"], REPLICAS)
        rows = subprocess.run(["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"],
                              capture_output=True, text=True).stdout.split()
        out.equal("nvidia-smi counts as many", REPLICAS, len(rows))
    finally:
        for p in processes:
            error = p.communicate(timeout=30)[1]
            if p.returncode:
                print(f"       a container ended with {p.returncode}: {error}")
    out.check("each ended with status 0", all(p.returncode == 0 for p in processes))


def run_file(out, place, parts, n, file):
    kubelet, agent, wait_until = parts
    agent.start("--config-file", str(ARTICLE / file), "--cdi", "devices")
    wait_until(lambda: kubelet.allocatable().get(node.GPU) == n * REPLICAS,
               lambda: f"replicas are offered\n{agent.log()}")
    out.check(f"{file}: {REPLICAS} replicas of each of {n} GPUs are offered", True)
    answers, names = allocate_all(out, kubelet, wait_until, file)
    held = {one.split("::")[0] for one in kubelet.held()}
    if place.root != "/":
        out.skip(f"{file}: ten containers", "a simulated GPU computes nothing")
    elif n != 1:
        out.skip(f"{file}: ten containers", "made for one GPU")
    else:
        check_ten(out, place, answers, held.pop())
    for name in names:
        kubelet.delete(name)
    agent.stop()
    wait_until(lambda: not kubelet.allocatable(), "the kubelet notices that the agent is gone")


def run(out, place, status, recorded):
    if any(g["mig"]["current"] for g in status["gpus"]):
        return out.skip("time-slicing", "made for GPUs with MIG off")
    check_labels(out, place, recorded)
    parts = node.make_node(place)
    try:
        for file in ("time-slicing-1.yaml", "time-slicing-2.yaml"):
            run_file(out, place, parts, len(status["gpus"]), file)
    except AssertionError as error:
        out.check("time-slicing under the stand-in kubelet", False, error)
    finally:
        print("       agent's log:\n" + parts[1].log(12))
        parts[1].stop()
        parts[0].stop()
