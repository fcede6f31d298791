"""What real GPUs answered, and the machines that model them: equal, value for value."""
import ctypes
import json
import pathlib
from ctypes import byref, c_int, c_uint, c_ulonglong, c_void_p

import pytest

import nvml as N

FOLDER = pathlib.Path(__file__).parent / "recordings"

# Who it is, what moves by itself, and what the recorder itself got wrong.
NOT_COMPARED = {
    "UUID": "identity", "Serial": "identity", "MinorNumber": "identity", "Index": "identity",
    "BoardId": "identity: from the bus number",
    "PowerUsage": "sensor", "Temperature": "sensor", "TotalEnergyConsumption": "sensor",
    "PciInfoExt": "the recorder called it wrongly", "GpuFabricInfo": "the recorder called it wrongly",
}
LIVE_FIELDS = {
    78: "time clocks were low", 80: "time at application clocks", 81: "time at base clocks",
    82: "memory temperature", 83: "energy", 169: "PCIe recoveries", 175: "PCIe errors",
    176: "PCIe errors", 177: "PCIe errors", 183: "PCIe errors", 185: "power", 186: "power",
    191: "energy", 197: "PCIe bytes", 198: "PCIe bytes",
}
LIVE_METRICS = {10: "memory activity", 20: "PCIe traffic", 21: "PCIe traffic"}

# How each recorded query is asked: a number, a text, or something of its own.
NUMBERS = """Brand Architecture PowerManagementLimit PowerManagementDefaultLimit EnforcedPowerLimit
    PersistenceMode ComputeMode DisplayMode DisplayActive MaxMigDeviceCount
    RetiredPagesPendingStatus PerformanceState CurrPcieLinkGeneration CurrPcieLinkWidth
    MaxPcieLinkGeneration MaxPcieLinkWidth PcieReplayCounter NumGpuCores MemoryBusWidth
    MultiGpuBoard NumaNodeId VirtualizationMode MinorNumber Index BoardId PowerUsage""".split()
LONGS = """CurrentClocksThrottleReasons SupportedClocksThrottleReasons SupportedEventTypes
    TotalEnergyConsumption""".split()
TEXTS = "Name UUID Serial VbiosVersion InforomImageVersion BoardPartNumber".split()
PAIRS = """EncoderUtilization DecoderUtilization JpgUtilization OfaUtilization MigMode EccMode
    GspFirmwareMode PowerManagementLimitConstraints MinMaxFanSpeed GpuOperationMode""".split()
LISTS = {"ComputeRunningProcesses": "ComputeRunningProcesses_v3",
         "GraphicsRunningProcesses": "GraphicsRunningProcesses_v3",
         "MPSComputeRunningProcesses_v2": "MPSComputeRunningProcesses_v2",
         "MPSComputeRunningProcesses_v3": "MPSComputeRunningProcesses_v3"}
STRUCTS = {"BAR1MemoryInfo": N.Bar1, "UtilizationRates": N.Utilization, "MemoryInfo": N.Memory,
           "RowRemapperHistogram": N.Histogram}


class Player:
    """Asks what the recorder asked, in its notation."""

    def __init__(self, nvml):
        self.nvml, self.gpu = nvml, nvml.gpu(0)

    def error(self, code):
        return {"nvml_error": code, "text": self.nvml.lib.nvmlErrorString(code).decode()}

    def guarded(self, function):
        try:
            return function()
        except N.Refused as refused:
            return self.error(refused.code)

    def pair(self, name):
        a, b = c_uint(), c_uint()
        self.nvml.call("DeviceGet" + name, self.gpu, byref(a), byref(b))
        return [a.value, b.value]

    def ask(self, key):
        get = self.nvml.get
        if key in NUMBERS:
            return self.guarded(lambda: get("DeviceGet" + key, self.gpu))
        if key in LONGS:
            return self.guarded(lambda: get("DeviceGet" + key, self.gpu, c_ulonglong))
        if key in TEXTS:
            return self.guarded(lambda: self.nvml.text("DeviceGet" + key, self.gpu))
        if key in PAIRS:
            return self.guarded(lambda: self.pair(key))
        if key in STRUCTS:
            return self.guarded(lambda: get("DeviceGet" + key, self.gpu, STRUCTS[key]).fields())
        if key in LISTS:
            n = c_uint()
            code = self.nvml.try_("DeviceGet" + LISTS[key], self.gpu, byref(n), None)
            return [] if code == N.SUCCESS else self.error(code)
        return getattr(self, key)()

    def CudaComputeCapability(self):
        major, minor = c_int(), c_int()
        self.nvml.call("DeviceGetCudaComputeCapability", self.gpu, byref(major), byref(minor))
        return [major.value, minor.value]

    def PciInfo(self):
        pci = self.nvml.get("DeviceGetPciInfo_v3", self.gpu, N.Pci)
        return {k: pci.fields()[k] for k in ("pciDeviceId", "pciSubSystemId")}

    def Temperature(self):
        out = c_uint()
        self.nvml.call("DeviceGetTemperature", self.gpu, c_uint(0), byref(out))
        return out.value

    def GspFirmwareVersion(self):
        out = ctypes.create_string_buffer(80)
        self.nvml.call("DeviceGetGspFirmwareVersion", self.gpu, out)
        return out.value.decode()

    def Attributes_v2(self):
        return self.guarded(lambda: self.nvml.get("DeviceGetAttributes_v2", self.gpu, N.Attributes))

    def MemoryInfo_v2(self):
        out = N.MemoryV2(version=N.version(N.MemoryV2, 2))
        self.nvml.call("DeviceGetMemoryInfo_v2", self.gpu, byref(out))
        return out.fields()

    def RemappedRows(self):
        out = [c_uint() for _ in range(4)]
        self.nvml.call("DeviceGetRemappedRows", self.gpu, *map(byref, out))
        return [v.value for v in out]

    def by_number(self, name, count):
        def one(n):
            out = c_uint()
            self.nvml.call(name, self.gpu, c_uint(n), byref(out))
            return out.value
        return {str(n): self.guarded(lambda n=n: one(n)) for n in range(count)}

    def TemperatureThreshold(self):
        return self.by_number("DeviceGetTemperatureThreshold", 9)

    def ClockInfo(self):
        return self.by_number("DeviceGetClockInfo", 4)

    def MaxClockInfo(self):
        return self.by_number("DeviceGetMaxClockInfo", 4)

    def TotalEccErrors(self):
        found = {}
        for error in range(2):
            for counter in range(2):
                out = c_ulonglong()
                self.nvml.call("DeviceGetTotalEccErrors", self.gpu, c_uint(error), c_uint(counter),
                               byref(out))
                found[f"{error}.{counter}"] = out.value
        return found

    def FieldValues(self):
        found = {}
        for field in range(1, 280):
            v = N.FieldValue(fieldId=field)
            self.nvml.call("DeviceGetFieldValues", self.gpu, c_int(1), byref(v))
            if v.nvmlReturn:
                found[str(field)] = {"err": v.nvmlReturn}
            else:
                found[str(field)] = {"type": v.valueType, "ull": v.value, "ts": v.timestamp != 0}
        return found

    def one_profile(self, constant):
        info = self.guarded(lambda: self.nvml.profile(self.gpu, constant).fields())
        if "nvml_error" in info:
            return {"info": info}
        v2 = N.GiProfileV2(version=N.version(N.GiProfileV2, 2))
        rc = self.nvml.try_("DeviceGetGpuInstanceProfileInfoV", self.gpu, c_uint(constant), byref(v2))
        left = c_uint()
        code = self.nvml.try_("DeviceGetGpuInstanceRemainingCapacity", self.gpu, c_uint(info["id"]),
                              byref(left))
        name = v2.name.decode()
        return {"info": {"version": 0, **info, "name": name},
                "placements": {"rc": 0, "list": [list(p) for p in
                                                 self.nvml.placements(self.gpu, info["id"])]},
                "remaining": [code, left.value],
                "v2": {"rc": rc, "name": name, "size": ctypes.sizeof(v2)}}

    def GpuInstanceProfiles(self):
        return {str(c): self.one_profile(c) for c in range(32)}

    def GpmSupport(self):
        out = N.GpmSupport(version=1)
        self.nvml.call("GpmQueryDeviceSupport", self.gpu, byref(out))
        return out.fields()

    def Gpm(self):
        class Get(ctypes.Structure):
            _fields_ = [("version", c_uint), ("n", c_uint), ("a", c_void_p), ("b", c_void_p),
                        ("metric", N.GpmMetric * 98)]
        samples = [c_void_p(), c_void_p()]
        for sample in samples:
            self.nvml.call("GpmSampleAlloc", byref(sample))
            self.nvml.call("GpmSampleGet", self.gpu, sample)
        get = Get(1, 97, *samples)
        for i in range(97):
            get.metric[i].metricId = i + 1
        self.nvml.call("GpmMetricsGet", byref(get))
        for sample in samples:
            self.nvml.call("GpmSampleFree", sample)
        return {str(m.metricId): [m.nvmlReturn, m.value, str(m.shortName), str(m.unit)]
                for m in get.metric[:97]}


def without_live(key, value):
    if key == "FieldValues":
        return {k: dict(v, ull=None) if int(k) in LIVE_FIELDS else v for k, v in value.items()}
    if key == "Gpm":
        return {k: [v[0], None, *v[2:]] if int(k) in LIVE_METRICS else v for k, v in value.items()}
    if key == "PciInfo":
        return {k: value[k] for k in ("pciDeviceId", "pciSubSystemId")}
    return value


@pytest.mark.parametrize("recording, name", [("h100", "p5.48xlarge"), ("h200", "p5en.48xlarge")])
def test_a_machine_answers_as_the_gpu_it_models(driver, recording, name):
    recorded = json.loads((FOLDER / f"{recording}.json").read_text())
    _, nvml = driver(name)
    player, compared = Player(nvml), 0
    assert nvml.text("SystemGetDriverVersion") == recorded["driver"]
    assert nvml.text("SystemGetNVMLVersion") == recorded["nvml"]
    cuda = c_int()
    nvml.call("SystemGetCudaDriverVersion_v2", byref(cuda))
    assert cuda.value == recorded["cuda"]
    for key, value in recorded["devices"][0].items():
        if key in NOT_COMPARED:
            continue
        assert without_live(key, player.ask(key)) == without_live(key, value), key
        compared += 1
    print(f"{recording}: {compared} queries equal, {len(NOT_COMPARED)} excepted by name")
    assert compared + len(NOT_COMPARED) == len(recorded["devices"][0])
