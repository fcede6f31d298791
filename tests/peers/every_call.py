"""Calls every function of NVIDIA's Python bindings once on each GPU and MIG device of a machine.

Runs on a simulated machine (environment of `kerf sim env`).  Prints `NAME ON CODE` for each call: CODE is
the driver's, or `python` where the bindings refused the arguments themselves.  Each name is printed before
its call, so that the last line names the one that crashed.
"""
import ctypes
import inspect

import pynvml as nv

# What changes the machine comes last; what ends the session, or waits, is left to the end of main.
CHANGES = ("Set", "Create", "Destroy", "Clear", "Remove", "Reset", "Freeze", "Modify", "Discover",
           "Workload", "Power")
APART = {"nvmlInit", "nvmlInitWithFlags", "nvmlShutdown", "nvmlErrorString", "nvmlExceptionClass",
         "nvmlStructToFriendlyObject", "nvmlFriendlyObjectToStruct", "nvmlEventSetWait_v2",
         "nvmlEventSetWait", "nvmlSystemEventSetWait"}


def buffer():
    """Room for any struct of NVML, all zero: a version of 0 is one that no struct has."""
    return ctypes.create_string_buffer(1 << 17)


class Arguments:
    """A plausible value for each parameter, by its name in the bindings."""

    def __init__(self, device):
        gpu = nv.nvmlDeviceGetHandleByIndex(0)
        self.event_set = nv.nvmlEventSetCreate()
        self.values = dict.fromkeys(("handle", "device", "device1", "handle1", "migDevice"), device)
        self.values |= {
            "device2": gpu, "handle2": gpu, "eventSet": self.event_set, "pid": 1,
            "uuid": nv.nvmlDeviceGetUUID(gpu), "pciBusId": nv.nvmlDeviceGetPciInfo(gpu).busId,
            "serial": nv.nvmlDeviceGetSerial(gpu), "cpuSetSize": 4, "nodeSetSize": 4, "timeoutms": 1,
            "fieldIds": [1, 82, 83, 94, 184, 185, 199], "sourceFilter": 0, "hostname": "node",
            "settings": buffer(), "gpmSample": nv.nvmlGpmSampleAlloc(), "profileId": 19,
            "nvmlErrorCode": 3, "eventTypes": 0x8,
        }
        self.instances(gpu)

    def instances(self, gpu):
        """A GPU instance and a compute instance where there are any."""
        self.values |= {"gpuInstance": None, "computeInstance": None}
        for profile in (19, 14, 9, 5, 0):
            held = (nv.c_nvmlGpuInstance_t * 16)()
            count = ctypes.c_uint()
            try:
                nv.nvmlDeviceGetGpuInstances(gpu, profile, held, nv.byref(count))
            except nv.NVMLError:
                continue
            if count.value:
                self.values["gpuInstance"] = held[0]
                return

    def of(self, function):
        parameters = inspect.signature(function).parameters.values()
        wanted = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_POSITIONAL]
        return [self.values.get(p.name, self.guess(p.name)) for p in wanted]

    @staticmethod
    def guess(name):
        numbers = ("link", "mode", "type", "counter", "index", "profile", "version", "capability", "fan", "Id",
                   "state", "threshold", "Type", "scope", "sensor", "enabled", "MHz", "level", "control",
                   "limit", "Index", "speed", "pstate", "Number", "offset", "flags", "unit", "freeze",
                   "reset", "temp", "color", "infoRomObject", "id", "timeStamp", "Policy", "isRestricted")
        return 0 if name.endswith(numbers) else buffer()


def functions():
    found = [f for n, f in vars(nv).items()
             if n.startswith("nvml") and inspect.isfunction(f) and n not in APART]
    return sorted(found, key=lambda f: any(word in f.__name__ for word in CHANGES))


def call(function, arguments, on):
    print(function.__name__, on, end=" ", flush=True)
    try:
        function(*arguments.of(function))
        print(0)
    except nv.NVMLError as error:
        print(error.value)
    except (TypeError, AttributeError, ctypes.ArgumentError, ValueError, KeyError) as error:
        print("python", type(error).__name__)


def devices():
    for i in range(nv.nvmlDeviceGetCount()):
        gpu = nv.nvmlDeviceGetHandleByIndex(i)
        yield f"gpu{i}", gpu
        for j in range(nv.nvmlDeviceGetMaxMigDeviceCount(gpu)):
            try:
                yield f"mig{i}:{j}", nv.nvmlDeviceGetMigDeviceHandleByIndex(gpu, j)
                break  # one of a GPU is enough
            except nv.NVMLError:
                pass


def main():
    nv.nvmlInit()
    found = list(devices())
    chosen = [found[0], *[d for d in found if d[0].startswith("mig")][:1]]
    kinds = {nv.nvmlDeviceGetName(nv.nvmlDeviceGetHandleByIndex(0))}
    for name, device in found:  # one GPU of each model
        if name.startswith("gpu") and nv.nvmlDeviceGetName(device) not in kinds:
            kinds.add(nv.nvmlDeviceGetName(device))
            chosen.append((name, device))
    readers = [f for f in functions() if not any(w in f.__name__ for w in CHANGES)]
    writers = [f for f in functions() if any(w in f.__name__ for w in CHANGES)]
    for group in (readers, writers):
        for on, device in chosen:
            arguments = Arguments(device)
            for function in group:
                call(function, arguments, on)
    nv.nvmlShutdown()
    print("whole")


main()
