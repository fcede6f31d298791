"""The agent on the GPUs of this machine, under the stand-in kubelet, and containers."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import threading
import time
import types

STARTS, ALLOCATIONS, IDLE_S = 20, 1000, 30
GPU = "nvidia.com/gpu"
HERE = pathlib.Path(__file__).resolve().parent


def make_node(place):
    """A kubelet and an agent that is not started yet."""
    os.environ["KERF"] = str(place.kerf)
    import harness
    kubelet = harness.Kubelet(place.folder)
    kubelet.start()
    machine = types.SimpleNamespace(root=place.root)
    return kubelet, harness.Agent(place.folder, machine, kubelet, None), harness.wait_until


# --- start and size --------------------------------------------------------------------------


def start_once(kubelet, agent, wait_until, n, flags):
    """Milliseconds from exec to Register answered, and to the list of n devices."""
    def event(wanted):
        found = wait_until(lambda: next((e for e in list(kubelet.events) if wanted(e)), None),
                           lambda: f"an event of the kubelet\n{agent.log()}")
        return (found["at"] - begin) * 1000

    kubelet.events.clear()
    begin = time.monotonic()
    agent.start(*flags)
    return (event(lambda e: e["event"] == "registered"),
            event(lambda e: e["event"] == "list" and len(e["devices"]) == n))


def restart(kubelet, agent, wait_until, n, *flags):
    agent.stop()
    wait_until(lambda: not kubelet.allocatable(), "the kubelet notices that the agent is gone")
    return start_once(kubelet, agent, wait_until, n, flags)


def measure_starts(out, kubelet, agent, wait_until, n):
    times = [start_once(kubelet, agent, wait_until, n, ("--mig-strategy", "mixed"))]
    times += [restart(kubelet, agent, wait_until, n) for _ in range(STARTS - 1)]
    out.median("agent: exec to registered with the kubelet", [t[0] for t in times], "ms")
    out.median("agent: exec to its GPUs listed", [t[1] for t in times], "ms")


def measure_size(out, agent, when):
    for field in ("Rss", "Pss", "Anonymous"):
        out.figure(f"agent: {field}, {when}", agent.memory_kib(field) / 1024, "MiB",
                   f"{agent.status_field('Threads')} threads" if field == "Rss" else "")


def measure_anonymous(out, agent):
    """Where the memory of its own lies: the heap, what was mapped, the data of libraries."""
    size, where = {}, ""
    for line in open(f"/proc/{agent.process.pid}/smaps"):
        words = line.split()
        if not words[0].endswith(":"):
            where = os.path.basename(words[5]) if len(words) > 5 else "mapped"
        elif words[0] == "Anonymous:":
            size[where] = size.get(where, 0) + int(words[1])
    most = sorted(size.items(), key=lambda item: -item[1])[:5]
    print("       anonymous KiB: " + ", ".join(f"{name} {kib}" for name, kib in most))


def used(pid):
    """Nanoseconds on a processor, and times it gave one up by itself, over all threads."""
    ns = switches = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        ns += int((task / "schedstat").read_text().split()[0])
        status = (task / "status").read_text()
        switches += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return ns, switches


def measure_idle(out, agent):
    time.sleep(2)  # what follows a registration is over
    ns, switches = used(agent.process.pid)
    time.sleep(IDLE_S)
    ns2, switches2 = used(agent.process.pid)
    out.figure("agent: idle, share of a core", (ns2 - ns) / IDLE_S / 1e7, "%", f"{IDLE_S} s")
    out.figure("agent: idle, wake-ups a minute", (switches2 - switches) * 60 / IDLE_S, "")


# --- allocations -----------------------------------------------------------------------------


def allocate(kubelet, wait_until, name):
    """What Allocate answered for one GPU, and its id."""
    kubelet.add(name, GPU)
    pod = wait_until(lambda: (lambda p: p if p["phase"] in ("Running", "Failed") else None)(
        kubelet.pods()[name]), f"pod {name}")
    assert pod["phase"] == "Running", pod["error"]
    return pod["answers"][0], pod["devices"][GPU][0]


def check_cdi(out, place, agent, answer, uuid):
    """The CDI file has the device that Allocate named, and every host path in it is there."""
    kind, _, name = answer["cdi"][0].partition("=") if answer["cdi"] else ("", "", "")
    out.equal("Allocate names the device to the runtime", name, uuid)
    specs = [json.loads(p.read_text()) for p in agent.cdi_dir.glob("*.json")]
    spec = next((s for s in specs if s["kind"] == kind), None)
    if not out.check(f"there is a CDI file of kind {kind}", spec, specs):
        return
    device = next((d for d in spec["devices"] if d["name"] == name), None)
    if not out.check("it has the device", device, [d["name"] for d in spec["devices"]]):
        return
    edits = [spec["containerEdits"], device["containerEdits"]]
    nodes = [n.get("hostPath", n["path"]) for e in edits for n in e.get("deviceNodes", [])]
    hosts = [m["hostPath"] for e in edits for m in e.get("mounts", [])]
    missing = [p for p in nodes + hosts if not os.path.exists(p)]
    out.check(f"each of its {len(nodes)} device nodes and {len(hosts)} mounts (of "
              f"{len(set(hosts))} files) is there on the host", not missing, missing)
    print("       files: " + " ".join(sorted(set(hosts))))
    print("       nodes: " + " ".join(nodes))


def measure_allocations(out, kubelet, agent):
    before = agent.memory_kib("Rss")
    answer = kubelet.ask("churn", resource=GPU, pods=ALLOCATIONS)
    times = sorted(answer["microseconds"])
    out.check(f"{ALLOCATIONS} allocations, none fails",
              answer["failed"] == 0 and len(times) == ALLOCATIONS, answer["failed"])
    out.figure("Allocate, p50", float(statistics.median(times)), "us", f"{len(times)} calls")
    out.figure("Allocate, p99", times[len(times) * 99 // 100], "us")
    out.figure("Allocate, max", times[-1], "us")
    out.figure("agent: Rss grown by these", (agent.memory_kib("Rss") - before) / 1024, "MiB")


# --- a container -----------------------------------------------------------------------------

# What a C library brings along, wherever this machine keeps it.
LIBC = "libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1".split()
LOADER = "/lib64/ld-linux-x86-64.so.2"


def build_probe(folder):
    """A path, or None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return None
    subprocess.run([compiler, "-O1", "-o", folder / "probe", HERE / "probe.c", "-ldl"], check=True)
    return folder / "probe"


def libc_files():
    """{soname: path} as the loader of this machine finds them."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout
    found = {}
    for line in listed.splitlines():
        name = line.split()[0] if line.split() else ""
        if name in LIBC and "x86-64" in line:
            found.setdefault(name, line.rpartition("=> ")[2])
    return found


def script(root, libraries, probe, answer, environment, mounts):
    """Shell lines that make a root directory of glibc and the answer, and run the probe in it.

    Run in a mount namespace of its own, so that all of it is gone with the process.
    """
    lines = ["set -e", f"mount -t tmpfs tmpfs {root}", f"cd {root}",
             "mkdir -p proc dev tmp usr/bin usr/lib64 usr/lib/x86_64-linux-gnu",
             "ln -s usr/lib lib; ln -s usr/lib64 lib64", "mount -t proc proc proc",
             f"cp -L {LOADER} lib64/", f"cp {probe} probe"]
    lines += [f"cp -L {path} {libraries}/" for path in libc_files().values()]
    for host, path, _ in answer["device_nodes"]:
        number = os.stat(host).st_rdev
        lines += [f"mkdir -p .{os.path.dirname(path)}",
                  f"mknod .{path} c {os.major(number)} {os.minor(number)}"]
    for host, path, read_only in mounts:
        lines += [f"mkdir -p .{os.path.dirname(path)}", f": >.{path}",
                  f"mount --bind {host} .{path}"]
        lines += [f"mount -o remount,bind,ro .{path}"] if read_only else []
    words = " ".join(f"'{k}={v}'" for k, v in {**answer["envs"], **environment}.items())
    return "\n".join(lines + [f'exec env -i {words} {shutil.which("chroot")} . "$@"'])


class Container:
    """A process that has what Allocate answered and nothing else of this machine."""

    def __init__(self, place, probe, answer, libraries, mounts, environment, name="container"):
        self.root = place.folder / name
        self.root.mkdir(exist_ok=True)
        self.text = script(self.root, libraries, probe, answer, environment, mounts)

    def start(self, *command):
        return subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                 self.text, "sh", *command], text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_until_ready(process, seconds=60):
    """The probe's lines up to "ready"; fewer when it ended before, or was ended in its stead."""
    timer, lines = threading.Timer(seconds, process.kill), []
    timer.start()
    for line in process.stdout:
        lines.append(line.strip())
        if lines[-1] == "ready":
            break
    timer.cancel()
    return lines


def check_process(out, place, process, uuid):
    """kerf and nvidia-smi see the process of the container on the GPU."""
    def gpu():
        return next(g for g in place.status()["gpus"] if g["uuid"] == uuid)
    seen = gpu()
    out.equal("a CUDA process in the container counts", seen["processes"], 1)
    pids = subprocess.run(["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"],
                          capture_output=True, text=True).stdout.split()
    print(f"       kerf: {seen['holders']}, nvidia-smi: {pids}, ours: {process.pid}")
    out.equal("nvidia-smi counts as many", seen["processes"], len(pids))


def check_container(out, place, what, container, directory, uuid, look=None):
    process = container.start("/probe")
    lines = read_until_ready(process)
    if look and "ready" in lines:
        look(process)
    error = process.communicate()[1]
    out.check(f"{what}: a CUDA program computes", process.returncode == 0 and "ready" in lines,
              f"{lines} {error}")
    seen = [line.split()[1] for line in lines if line.startswith("gpu ")]
    out.equal(f"{what}: it sees exactly the GPU allocated", seen, [uuid])
    origin = next((line.split()[1] for line in lines if line.startswith("libcuda ")), "")
    out.check(f"{what}: libcuda.so.1 is that of {directory}",
              os.path.realpath(os.path.dirname(origin) or "/") == os.path.realpath(directory)
              or os.path.dirname(origin).removeprefix("/usr") == directory.removeprefix("/usr"),
              origin)


def check_smi(out, container, uuid):
    """By the container's own loader: a driver may come with programs that name another one."""
    process = container.start(LOADER, "/usr/bin/nvidia-smi", "-L")
    text, error = process.communicate()
    out.check("nvidia-smi -L in the container lists the GPU", uuid in text, text + error)


def check_containers(out, place, answer, uuid):
    """Debian's family of images as it is; Red Hat's, whose loader looks in /usr/lib64."""
    debian, redhat = "/usr/lib/x86_64-linux-gnu", "/usr/lib64"
    probe = build_probe(place.folder)
    if not probe or os.geteuid():
        return out.skip("containers", "no C compiler" if not probe else "not root")
    every = answer["mounts"]
    container = Container(place, probe, answer, debian[1:], every, {})
    check_container(out, place, "image of Debian's family", container, debian, uuid,
                    lambda process: check_process(out, place, process, uuid))
    check_smi(out, container, uuid)
    # The glibc here is of Debian's family: the variable stands for the other's built-in directory.
    half = [m for m in every if not m[1].startswith(debian)]
    container = Container(place, probe, answer, redhat[1:], half, {"LD_LIBRARY_PATH": redhat})
    check_container(out, place, "image of Red Hat's family", container, redhat, uuid)


def check_direct(out, kubelet, agent, wait_until, place, n, real):
    """--cdi devices: the answer itself has nodes, mounts and environment."""
    restart(kubelet, agent, wait_until, n, "--mig-strategy", "mixed", "--cdi", "devices")
    wait_until(lambda: kubelet.allocatable().get(GPU) == n, "the GPUs are offered again")
    answer, uuid = allocate(kubelet, wait_until, "direct")
    hosts = [m[0] for m in answer["mounts"]] + [d[0] for d in answer["device_nodes"]]
    missing = [p for p in hosts if not os.path.exists(p)]
    out.check(f"the answer's {len(answer['device_nodes'])} nodes and {len(answer['mounts'])} "
              f"mounts are there on the host", hosts and not missing, missing)
    out.equal("NVIDIA_VISIBLE_DEVICES", answer["envs"].get("NVIDIA_VISIBLE_DEVICES"), "void")
    if real:
        check_containers(out, place, answer, uuid)
    else:
        out.skip("containers", "a simulated GPU computes nothing")
    kubelet.delete("direct")


def run(out, place, status):
    n = len(status["gpus"])
    if any(g["mig"]["current"] for g in status["gpus"]):
        return out.skip("agent", "made for GPUs with MIG off")
    kubelet, agent, wait_until = make_node(place)
    try:
        measure_starts(out, kubelet, agent, wait_until, n)
        wait_until(lambda: kubelet.allocatable() == {GPU: n}, "the GPUs are offered")
        out.check(f"the kubelet has {n} {GPU}", True)
        measure_size(out, agent, "registered")
        measure_anonymous(out, agent)
        measure_idle(out, agent)
        answer, uuid = allocate(kubelet, wait_until, "first")
        check_cdi(out, place, agent, answer, uuid)
        kubelet.delete("first")
        measure_allocations(out, kubelet, agent)
        measure_size(out, agent, f"after {ALLOCATIONS} allocations")
        check_direct(out, kubelet, agent, wait_until, place, n, place.root == "/")
    except AssertionError as error:
        out.check("the agent serves the stand-in kubelet", False, error)
    finally:
        print("       agent's log:\n" + agent.log(12))
        agent.stop()
        kubelet.stop()
