"""The label table of nvidia-stack.md 3.2 a second time, by other means: NVIDIA's own Python bindings.

Runs on a simulated machine (environment of `kerf sim env`), prints KEY=VALUE lines, sorted:

    expected.py ROOT STRATEGY SHARING [RESOURCE=N[:renamed]]...

Shares no code with kerf, and is written after the table, not after kerf.
"""
import math
import pathlib
import re
import sys
import uuid

import pynvml as nv

FAMILY = [((13, 0), "rubin"), ((12, 0), "blackwell"), ((11, 0), "undefined"), ((10, 0), "blackwell"),
          ((9, 0), "hopper"), ((8, 9), "ada-lovelace"), ((8, 0), "ampere"), ((7, 5), "turing"),
          ((7, 0), "volta")]
LONGEST = 63


def clean(text):
    return "-".join(re.sub(r"[^A-Za-z0-9-_. ]", "", text).split())


def profile_name(attributes, parent, name):
    """NVIDIA's rule; the attributes after the size are in no NVML struct but in the name."""
    total = nv.nvmlDeviceGetMemoryInfo(parent).total
    part = math.ceil(attributes.memorySizeMB * 8 / (total / 2**20)) / 8
    gb = int(part * math.ceil(total / 2**30) + 0.5)
    g, c = attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount
    suffix = re.search(r"gb(.*)$", name.split(" MIG ", 1)[1]).group(1).replace("+", ".")
    return ("" if c == g else f"{c}c.") + f"{g}g.{gb}gb{suffix}"


class Gpu:
    def __init__(self, root, index):
        self.handle = h = nv.nvmlDeviceGetHandleByIndex(index)
        self.model = nv.nvmlDeviceGetName(h)
        self.memory = nv.nvmlDeviceGetMemoryInfo(h).total >> 20
        self.capability = nv.nvmlDeviceGetCudaComputeCapability(h)
        try:
            self.mig, self.capable = nv.nvmlDeviceGetMigMode(h)[0] == 1, True
        except nv.NVMLError_NotSupported:
            self.mig = self.capable = False
        domain, rest = nv.nvmlDeviceGetPciInfo(h).busId.lower().split(":", 1)
        folder = root / f"sys/bus/pci/devices/{int(domain, 16):04x}:{rest}"
        self.pci_class = (folder / "class").read_text().strip()
        self.slices = list(self.mig_devices()) if self.mig else []

    def mig_devices(self):
        for i in range(nv.nvmlDeviceGetMaxMigDeviceCount(self.handle)):
            try:
                mig = nv.nvmlDeviceGetMigDeviceHandleByIndex(self.handle, i)
            except nv.NVMLError_NotFound:
                continue
            attributes = nv.nvmlDeviceGetAttributes(mig)
            name = profile_name(attributes, self.handle, nv.nvmlDeviceGetName(mig))
            yield name, attributes, self

    def clique(self):
        info = nv.c_nvmlGpuFabricInfo_v2_t()
        try:
            nv.nvmlDeviceGetGpuFabricInfoV(self.handle, nv.byref(info))
        except nv.NVMLError:
            return None
        cluster = uuid.UUID(bytes=bytes(bytearray(info.clusterUuid)))
        registered = info.state == 3 and info.status == 0 and cluster.int
        return f"{cluster}.{info.cliqueId}" if registered else None


class Table:
    def __init__(self, root, strategy, sharing, shares):
        self.root, self.strategy, self.sharing = root, strategy, sharing
        self.gpus = [Gpu(root, i) for i in range(nv.nvmlDeviceGetCount())]
        self.labels = {}
        self.shares = {}
        for share in shares:
            resource, count = share.split("=")
            self.shares[resource] = (int(count.split(":")[0]), count.endswith(":renamed"))

    def put(self, **labels):
        for key, value in labels.items():
            self.labels["nvidia.com/" + key] = str(value)

    def versions(self):
        full = nv.nvmlSystemGetDriverVersion()
        major, minor, rev = (full.split(".") + [""])[:3]
        cuda = nv.nvmlSystemGetCudaDriverVersion_v2()
        ours = {"cuda.driver-version.full": full, "cuda.driver-version.major": major,
                "cuda.driver-version.minor": minor, "cuda.driver-version.revision": rev,
                "cuda.driver.major": major, "cuda.driver.minor": minor, "cuda.driver.rev": rev}
        major, minor = cuda // 1000, cuda % 1000 // 10
        self.put(**ours, **{"cuda.runtime-version.full": f"{major}.{minor}",
                            "cuda.runtime-version.major": major,
                            "cuda.runtime-version.minor": minor,
                            "cuda.runtime.major": major, "cuda.runtime.minor": minor})

    def machine(self):
        name = self.root / "sys/class/dmi/id/product_name"
        text = name.read_text().strip() if name.exists() else "unknown"
        classes = {g.pci_class for g in self.gpus}
        mode = {"0x030000": "graphics", "0x030200": "compute"}
        cliques = {g.clique() for g in self.gpus} - {None}
        if len(cliques) == 1:
            self.put(**{"gpu.clique": cliques.pop()})
        mps = self.sharing == "mps" and not any(g.mig for g in self.gpus)
        self.put(**{"gpu.machine": clean(text), "vgpu.present": "false",
                    "gpu.mode": mode.get(classes.pop(), "unknown") if len(classes) == 1 else "unknown",
                    "mig.capable": str(any(g.capable for g in self.gpus)).lower(),
                    "mps.capable": str(mps).lower()})

    def base(self, resource, count, model, profile=None, replicas=None):
        shared, renamed = self.shares.get(resource, (1, False)) if replicas is None else (1, False)
        tail = (f"-MIG-{profile}" if profile else "") + ("-SHARED" if shared > 1 and not renamed else "")
        product = clean(model)[:LONGEST - len(tail)].rstrip("-_.") + tail
        self.put(**{f"{resource}.product": product, f"{resource}.count": count,
                    f"{resource}.replicas": shared if replicas is None else replicas,
                    f"{resource}.sharing-strategy": self.sharing if shared > 1 else "none"})

    def full_gpus(self):
        for mig in (True, False):  # those without MIG come second, over the others
            for gpu in [g for g in self.gpus if g.mig == mig][:1]:
                count = sum(g.model == gpu.model for g in self.gpus)
                self.base("gpu", count, gpu.model, replicas=0 if mig else None)
                family = next(name for least, name in FAMILY if gpu.capability >= least)
                self.put(**{"gpu.memory": gpu.memory, "gpu.family": family,
                            "gpu.compute.major": gpu.capability[0],
                            "gpu.compute.minor": gpu.capability[1]})

    def mig(self, resource, count, first):
        name, a, gpu = first
        self.base(resource, count, gpu.model, profile=name)
        values = {"memory": a.memorySizeMB, "multiprocessors": a.multiprocessorCount,
                  "slices.gi": a.gpuInstanceSliceCount, "slices.ci": a.computeInstanceSliceCount,
                  "engines.copy": a.sharedCopyEngineCount,
                  "engines.decoder": a.sharedDecoderCount,
                  "engines.encoder": a.sharedEncoderCount,
                  "engines.jpeg": a.sharedJpegCount, "engines.ofa": a.sharedOfaCount}
        self.put(**{f"{resource}.{key}": value for key, value in values.items()})

    def slices(self):
        if self.strategy == "none":
            return
        self.put(**{"mig.strategy": self.strategy})
        kinds = {}
        for gpu in self.gpus:
            for s in gpu.slices:
                kinds.setdefault(s[0], []).append(s)
        if self.strategy == "mixed":
            for name, found in kinds.items():
                self.mig("mig-" + name, len(found), found[0])
        elif any(g.mig for g in self.gpus):
            if len(kinds) == 1 and all(g.slices for g in self.gpus):
                (found,) = kinds.values()
                self.mig("gpu", len(found), found[0])
            else:
                model = next(g.model for g in self.gpus if g.mig)
                self.put(**{"gpu.product": clean(model) + "-MIG-INVALID", "gpu.count": 0,
                            "gpu.replicas": 0, "gpu.memory": 0, "gpu.sharing-strategy": ""})


def main(root, strategy, sharing, *shares):
    nv.nvmlInit()
    table = Table(pathlib.Path(root), strategy, sharing, shares)
    table.versions()
    table.full_gpus()
    table.slices()
    table.machine()
    for key in sorted(table.labels):
        print(f"{key}={table.labels[key]}")


main(*sys.argv[1:])
