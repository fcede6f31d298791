"""How long the driver takes for each call of one reading, in fresh processes.

Run as a program it makes the calls of kf_nvml_read (src/nvml/read.c) on GPU 0, in their order, and
prints how long each took, and what memory of its own the process had in between.
"""
import json
import statistics
import subprocess
import sys
import time
from ctypes import byref, c_int, c_uint

import common  # noqa: F401  (finds tests/sim)
import nvml as N

PROCESSES = 5


def memory_kib():
    """[Rss, Anonymous] of this process."""
    lines = [line.split() for line in open("/proc/self/smaps_rollup")]
    return [int(words[1]) for words in lines if words[0] in ("Rss:", "Anonymous:")]


class Caller:
    """Makes calls and keeps how long each took, in microseconds, and its processor time."""

    def __init__(self):
        self.memory = {"before": memory_kib()}
        begin = time.perf_counter_ns()
        self.nvml = N.Nvml("libnvidia-ml.so.1")
        self.took = {"dlopen": [(time.perf_counter_ns() - begin) / 1000]}

    def timed(self, name, *args):
        begin = time.perf_counter_ns()
        code = self.nvml.try_(name, *args)
        self.took.setdefault(name, []).append((time.perf_counter_ns() - begin) / 1000)
        return code

    def remember(self, when):
        self.memory[when] = memory_kib()


def read_node(c):
    c.timed("SystemGetDriverVersion", (N.c_char * 96)(), c_uint(96))
    c.timed("SystemGetCudaDriverVersion_v2", byref(c_int()))
    c.timed("DeviceGetCount_v2", byref(c_uint()))


def read_gpu(c):
    gpu, text, number = N.c_void_p(), (N.c_char * 96)(), c_uint()
    c.timed("DeviceGetHandleByIndex_v2", c_uint(0), byref(gpu))
    c.timed("DeviceGetUUID", gpu, text, c_uint(96))
    c.timed("DeviceGetPciInfo_v3", gpu, byref(N.Pci()))
    c.timed("DeviceGetName", gpu, text, c_uint(96))
    c.timed("DeviceGetMinorNumber", gpu, byref(number))
    c.timed("DeviceGetMemoryInfo", gpu, byref(N.Memory()))
    c.timed("DeviceGetArchitecture", gpu, byref(number))
    c.timed("DeviceGetCudaComputeCapability", gpu, byref(c_int()), byref(c_int()))
    c.timed("DeviceGetMigMode", gpu, byref(number), byref(c_uint()))
    return gpu


def read_profiles(c, gpu):
    for constant in range(64):
        info = N.GiProfile()
        code = c.timed("DeviceGetGpuInstanceProfileInfo", gpu, c_uint(constant), byref(info))
        if code == N.INVALID_ARGUMENT:
            break
        if code == N.SUCCESS:
            n = c_uint()
            for places in (None, (N.Placement * 32)()):
                c.timed("DeviceGetGpuInstancePossiblePlacements_v2", gpu, c_uint(info.id), places,
                        byref(n))


def read_processes(c, gpu):
    c.timed("DeviceGetComputeRunningProcesses_v3", gpu, byref(c_uint()), None)
    c.timed("DeviceGetGraphicsRunningProcesses_v3", gpu, byref(c_uint()), None)


def make_calls():
    c = Caller()
    c.timed("Init_v2")
    c.remember("nvmlInit_v2")
    read_node(c)
    gpu = read_gpu(c)
    read_profiles(c, gpu)
    read_processes(c, gpu)
    c.remember("a whole reading")
    first, c.took = c.took, {}
    cpu = time.process_time_ns()
    for _ in range(10):
        read_node(c)
        read_processes(c, read_gpu(c))
    cpu = (time.process_time_ns() - cpu) / 10000
    again, c.took = c.took, first
    c.timed("Shutdown")
    c.remember("nvmlShutdown")
    return {"first": first, "again": again, "again_cpu": cpu, "memory": c.memory}


def tell_memory(out, runs):
    for when in list(runs[0]["memory"])[1:]:
        for i, what in enumerate(("Rss", "Anonymous")):
            out.median(f"driver: {what} that a process has more after {when}",
                       [(r["memory"][when][i] - r["memory"]["before"][i]) / 1024 for r in runs],
                       "MiB")


def tell_calls(out, which, runs):
    """Each call's median; then the sum of one reading."""
    once = {"dlopen", "Init_v2", "Shutdown"}
    for name in runs[0]:
        each = [us for r in runs for us in r[name]]
        if name not in once:
            out.figure(f"driver: nvml{name}, {which}", float(statistics.median(each)), "us",
                       f"median of {len(each)}, max {max(each):.0f}")
    return [sum(sum(v) for k, v in r.items() if k not in once) / 1000 for r in runs]


def measure(out):
    runs = [json.loads(subprocess.run([sys.executable, __file__], capture_output=True, text=True,
                                      check=True).stdout) for _ in range(PROCESSES)]
    tell_memory(out, runs)
    for name in ("dlopen", "Init_v2", "Shutdown"):
        out.median(f"driver: {name}", [r["first"][name][0] / 1000 for r in runs], "ms")
    first = tell_calls(out, "first reading", [r["first"] for r in runs])
    again = tell_calls(out, "later reading", [r["again"] for r in runs])
    out.median("driver: first reading of a node with GPU 0", first, "ms",
               "with the profile table, without dlopen, Init and Shutdown")
    out.median("driver: later reading", [ms / 10 for ms in again], "ms", "without the profiles")
    out.median("driver: later reading, processor time", [r["again_cpu"] / 1000 for r in runs], "ms")


if __name__ == "__main__":
    print(json.dumps(make_calls()))
