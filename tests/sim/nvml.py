"""The driver library by ctypes: as little as the tests here need, and no package from elsewhere."""
import ctypes
from ctypes import byref, c_char, c_double, c_int, c_longlong, c_uint, c_ulonglong, c_void_p

SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION = 0, 1, 2, 3, 4
NOT_FOUND, INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, TIMEOUT, FUNCTION_NOT_FOUND = 6, 7, 9, 10, 13
GPU_IS_LOST, IN_USE, INSUFFICIENT_RESOURCES, VERSION_MISMATCH, UNKNOWN = 15, 19, 23, 25, 999


class Struct(ctypes.Structure):
    def fields(self):
        return {name: getattr(self, name) for name, *_ in self._fields_}


def struct(name, *fields):
    return type(name, (Struct,), {"_fields_": list(fields)})


def uints(names):
    return [(n, c_uint) for n in names.split()]


GiInfoFields = uints("id isP2pSupported sliceCount instanceCount multiprocessorCount "
                     "copyEngineCount decoderCount encoderCount jpegCount ofaCount")
GiProfile = struct("GiProfile", *GiInfoFields, ("memorySizeMB", c_ulonglong))
GiProfileV2 = struct("GiProfileV2", ("version", c_uint), *GiInfoFields,
                     ("memorySizeMB", c_ulonglong), ("name", c_char * 96))
GiProfileV3 = struct("GiProfileV3", ("version", c_uint),
                     *[f for f in GiInfoFields if f[0] != "isP2pSupported"],
                     ("memorySizeMB", c_ulonglong), ("name", c_char * 96), ("capabilities", c_uint))
Placement = struct("Placement", *uints("start size"))
GiInfo = struct("GiInfo", ("device", c_void_p), *uints("id profileId start size"))
CiInfo = struct("CiInfo", ("device", c_void_p), ("gpuInstance", c_void_p),
                *uints("id profileId start size"))
CiProfile = struct("CiProfile", *uints(
    "id sliceCount instanceCount multiprocessorCount sharedCopyEngineCount sharedDecoderCount "
    "sharedEncoderCount sharedJpegCount sharedOfaCount"))
Attributes = struct("Attributes", *uints(
    "multiprocessorCount sharedCopyEngineCount sharedDecoderCount sharedEncoderCount "
    "sharedJpegCount sharedOfaCount gpuInstanceSliceCount computeInstanceSliceCount"),
    ("memorySizeMB", c_ulonglong))
Memory = struct("Memory", ("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))
MemoryV2 = struct("MemoryV2", ("version", c_uint), *[
    (n, c_ulonglong) for n in ("total", "reserved", "free", "used")])
Bar1 = struct("Bar1", *[(n, c_ulonglong) for n in ("bar1Total", "bar1Free", "bar1Used")])
Pci = struct("Pci", ("busIdLegacy", c_char * 16), *uints("domain bus device pciDeviceId "
             "pciSubSystemId"), ("busId", c_char * 32))
Process = struct("Process", ("pid", c_uint), ("usedGpuMemory", c_ulonglong),
                 *uints("gpuInstanceId computeInstanceId"))
Utilization = struct("Utilization", *uints("gpu memory"))
Histogram = struct("Histogram", *uints("max high partial low none"))
FieldValue = struct("FieldValue", *uints("fieldId scopeId"), ("timestamp", c_longlong),
                    ("latencyUsec", c_longlong), ("valueType", c_uint), ("nvmlReturn", c_uint),
                    ("value", c_ulonglong))
GpmSupport = struct("GpmSupport", *uints("version isSupportedDevice"))
GpmMetric = struct("GpmMetric", *uints("metricId nvmlReturn"), ("value", c_double),
                   ("shortName", ctypes.c_char_p), ("longName", ctypes.c_char_p),
                   ("unit", ctypes.c_char_p))
Event = struct("Event", ("device", c_void_p), ("type", c_ulonglong), ("data", c_ulonglong),
               *uints("gi ci"))


def version(kind, number):
    return ctypes.sizeof(kind) | number << 24


class Refused(Exception):
    def __init__(self, call, code):
        super().__init__(f"{call}: {code}")
        self.code = code


class Nvml:
    """nvml.call("DeviceGetCount_v2", byref(n)) raises Refused; nvml.try_ answers the code."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(str(path))
        self.lib.nvmlErrorString.restype = ctypes.c_char_p

    def try_(self, name, *args):
        return getattr(self.lib, "nvml" + name)(*args)

    def call(self, name, *args):
        code = self.try_(name, *args)
        if code:
            raise Refused(name, code)

    def get(self, name, device, kind=c_uint):
        """A call whose only result is one number or struct."""
        out = kind()
        self.call(name, device, byref(out))
        return out.value if hasattr(out, "value") and not isinstance(out, Struct) else out

    def text(self, name, *args, size=96):
        out = ctypes.create_string_buffer(size)
        self.call(name, *args, out, c_uint(size))
        return out.value.decode()

    def count(self):
        out = c_uint()
        self.call("DeviceGetCount_v2", byref(out))
        return out.value

    def gpu(self, index):
        out = c_void_p()
        self.call("DeviceGetHandleByIndex_v2", c_uint(index), byref(out))
        return out

    def by_uuid(self, uuid):
        out = c_void_p()
        self.call("DeviceGetHandleByUUID", uuid.encode(), byref(out))
        return out

    def mig_mode(self, gpu):
        now, then = c_uint(), c_uint()
        self.call("DeviceGetMigMode", gpu, byref(now), byref(then))
        return now.value, then.value

    def set_mig(self, gpu, mode):
        """The activation status."""
        status = c_uint(77)
        self.call("DeviceSetMigMode", gpu, c_uint(mode), byref(status))
        return status.value

    def profile(self, gpu, constant):
        out = GiProfile()
        self.call("DeviceGetGpuInstanceProfileInfo", gpu, c_uint(constant), byref(out))
        return out

    def profiles(self, gpu):
        """{name: GiProfileV2} of everything that the driver lists."""
        found = {}
        for constant in range(64):
            out = GiProfileV2(version=version(GiProfileV2, 2))
            code = self.try_("DeviceGetGpuInstanceProfileInfoV", gpu, c_uint(constant), byref(out))
            if code == INVALID_ARGUMENT:
                break
            if code == SUCCESS:
                found[out.name.decode().removeprefix("MIG ")] = out
        return found

    def placements(self, gpu, profile_id):
        n = c_uint()
        self.call("DeviceGetGpuInstancePossiblePlacements_v2", gpu, c_uint(profile_id), None,
                  byref(n))
        out = (Placement * n.value)()
        self.call("DeviceGetGpuInstancePossiblePlacements_v2", gpu, c_uint(profile_id), out,
                  byref(n))
        return [(p.start, p.size) for p in out[:n.value]]

    def create(self, gpu, profile_id, start=None, size=None):
        out = c_void_p()
        if start is None:
            self.call("DeviceCreateGpuInstance", gpu, c_uint(profile_id), byref(out))
        else:
            at = Placement(start, size)
            self.call("DeviceCreateGpuInstanceWithPlacement", gpu, c_uint(profile_id), byref(at),
                      byref(out))
        return out

    def destroy(self, gi):
        self.call("GpuInstanceDestroy", gi)

    def info(self, gi):
        out = GiInfo()
        self.call("GpuInstanceGetInfo", gi, byref(out))
        return out

    def instances(self, gpu, profile_id):
        out, n = (c_void_p * 16)(), c_uint()
        self.call("DeviceGetGpuInstances", gpu, c_uint(profile_id), out, byref(n))
        return [c_void_p(h) for h in out[:n.value]]

    def create_ci(self, gi, profile_id):
        out = c_void_p()
        self.call("GpuInstanceCreateComputeInstance", gi, c_uint(profile_id), byref(out))
        return out

    def cis(self, gi, profile_id):
        out, n = (c_void_p * 8)(), c_uint()
        self.call("GpuInstanceGetComputeInstances", gi, c_uint(profile_id), out, byref(n))
        return [c_void_p(h) for h in out[:n.value]]

    def ci_info(self, ci):
        out = CiInfo()
        self.call("ComputeInstanceGetInfo_v2", ci, byref(out))
        return out

    def mig(self, gpu, index):
        out = c_void_p()
        self.call("DeviceGetMigDeviceHandleByIndex", gpu, c_uint(index), byref(out))
        return out

    def clear(self, gpu):
        """Take every instance away."""
        for p in self.profiles(gpu).values():
            for gi in self.instances(gpu, p.id):
                for constant in range(9):
                    n = c_uint()
                    out = (c_void_p * 8)()
                    if self.try_("GpuInstanceGetComputeInstances", gi, c_uint(constant), out,
                                 byref(n)):
                        continue
                    for ci in out[:n.value]:
                        self.call("ComputeInstanceDestroy", c_void_p(ci))
                self.destroy(gi)

    def processes(self, device, kind="Compute"):
        name = f"DeviceGet{kind}RunningProcesses_v3"
        n = c_uint()
        code = self.try_(name, device, byref(n), None)
        if code == SUCCESS:
            return []
        assert code == INSUFFICIENT_SIZE
        out = (Process * n.value)()
        self.call(name, device, byref(n), out)
        return [p.fields() for p in out[:n.value]]
