"""How long the driver takes for each call of one reading, in fresh processes.

Run as a program it makes the calls of kf_nvml_read (src/nvml/read.c) on GPU 0 once, in their order,
and prints how long each took, and what memory of its own the process had in between.
"""
import ctypes
import json
import statistics
import subprocess
import sys
import time
from ctypes import byref, c_int, c_uint

PROCESSES = 5


def memory_kib():
    """[Rss, Anonymous] of this process."""
    lines = [line.split() for line in open("/proc/self/smaps_rollup")]
    return [int(words[1]) for words in lines if words[0] in ("Rss:", "Anonymous:")]


def make_calls():
    import nvml as N
    took, memory = {}, {"before": memory_kib()}

    def timed(name, *args):
        begin = time.perf_counter_ns()
        code = nvml.try_(name, *args)
        took.setdefault(name, []).append((time.perf_counter_ns() - begin) / 1000)
        return code

    begin = time.perf_counter_ns()
    nvml = N.Nvml("libnvidia-ml.so.1")
    took["dlopen"] = [(time.perf_counter_ns() - begin) / 1000]
    timed("Init_v2")
    memory["nvmlInit_v2"] = memory_kib()
    text, number, second = N.c_char * 96, c_uint(), c_uint()
    timed("SystemGetDriverVersion", text(), c_uint(96))
    timed("SystemGetCudaDriverVersion_v2", byref(c_int()))
    timed("DeviceGetCount_v2", byref(number))
    gpu = N.c_void_p()
    timed("DeviceGetHandleByIndex_v2", c_uint(0), byref(gpu))
    memory["the first handle"] = memory_kib()
    timed("DeviceGetUUID", gpu, text(), c_uint(96))
    timed("DeviceGetPciInfo_v3", gpu, byref(N.Pci()))
    timed("DeviceGetName", gpu, text(), c_uint(96))
    timed("DeviceGetMinorNumber", gpu, byref(number))
    timed("DeviceGetMemoryInfo", gpu, byref(N.Memory()))
    timed("DeviceGetArchitecture", gpu, byref(number))
    timed("DeviceGetCudaComputeCapability", gpu, byref(c_int()), byref(c_int()))
    timed("DeviceGetMigMode", gpu, byref(number), byref(second))
    for constant in range(64):
        info = N.GiProfile()
        code = timed("DeviceGetGpuInstanceProfileInfo", gpu, c_uint(constant), byref(info))
        if code == N.INVALID_ARGUMENT:
            break
        if code == N.SUCCESS:
            places = (N.Placement * 32)()
            for out in (None, places):
                timed("DeviceGetGpuInstancePossiblePlacements_v2", gpu, c_uint(info.id), out,
                      byref(number))
    number.value = 0
    timed("DeviceGetComputeRunningProcesses_v3", gpu, byref(number), None)
    number.value = 0
    timed("DeviceGetGraphicsRunningProcesses_v3", gpu, byref(number), None)
    memory["a whole reading"] = memory_kib()
    ctypes.CDLL(None).malloc_trim(0)
    memory["malloc_trim"] = memory_kib()
    timed("Shutdown")
    memory["nvmlShutdown"] = memory_kib()
    return {"took": took, "memory": memory}


def measure(out):
    runs = [json.loads(subprocess.run([sys.executable, __file__], capture_output=True, text=True,
                                      check=True).stdout) for _ in range(PROCESSES)]
    for when in list(runs[0]["memory"])[1:]:
        for i, what in enumerate(("Rss", "Anonymous")):
            out.median(f"driver: {what} that a process has more after {when}",
                       [(r["memory"][when][i] - r["memory"]["before"][i]) / 1024 for r in runs],
                       "MiB")
    runs = [r["took"] for r in runs]
    once = {"dlopen", "Init_v2", "Shutdown"}
    out.median("driver: loading the library", [r["dlopen"][0] / 1000 for r in runs], "ms")
    out.median("driver: nvmlInit_v2", [r["Init_v2"][0] / 1000 for r in runs], "ms")
    out.median("driver: nvmlShutdown", [r["Shutdown"][0] / 1000 for r in runs], "ms")
    out.median("driver: all other calls of a reading of GPU 0",
               [sum(sum(v) for k, v in r.items() if k not in once) / 1000 for r in runs], "ms",
               f"{sum(len(v) for k, v in runs[0].items() if k not in once)} calls")
    for name in runs[0]:
        if name not in once:
            each = [us for r in runs for us in r[name]]
            out.figure(f"driver: nvml{name}", float(statistics.median(each)), "us",
                       f"median; {len(runs[0][name])} a reading, max {max(each):.0f}")


if __name__ == "__main__":
    import common  # noqa: F401  (finds tests/sim)
    print(json.dumps(make_calls()))
