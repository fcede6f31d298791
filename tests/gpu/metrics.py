#!/usr/bin/python3
"""Metrics on a real GPU: the exporter against NVML and nvidia-smi, and sharers' shares, reported against true.

    KERF=/path/to/kerf python3 tests/gpu/metrics.py

Sharers run a kernel of a fixed number of steps, so often in a second as their share asks; the true share is the number of
launches times what one takes alone.  Needs a GPU without MIG on which nobody works, and root.  Changes no setting of it.
"""
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import types

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "metrics"), str(HERE.parent / "node")]
import harness  # noqa: E402
from support import Client  # noqa: E402

PTX = b""".version 6.4
.target sm_70
.address_size 64
.visible .entry work(.param .u32 steps)
{
	.reg .f32 %f<3>;
	.reg .u32 %r<3>;
	.reg .pred %p;
	ld.param.u32 %r1, [steps];
	mov.f32 %f1, 0f3F800001;
	mov.f32 %f2, 0f3F800000;
	mov.u32 %r2, 0;
L:
	fma.rn.f32 %f2, %f2, %f1, %f1;
	add.u32 %r2, %r2, 1;
	setp.lt.u32 %p, %r2, %r1;
	@%p bra L;
	setp.eq.f32 %p, %f2, 0f00000000;
	@%p trap;
	ret;
}
\0"""
STEPS, BLOCKS, PERIOD_S = 1500000, 132, 0.02


class Cuda:
    def __init__(self, blocks):
        self.lib, self.blocks = ctypes.CDLL("libcuda.so.1"), blocks
        context, module, self.work = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        device = ctypes.c_int()
        self.do("cuInit", 0)
        self.do("cuDeviceGet", ctypes.byref(device), 0)
        self.do("cuCtxCreate_v2", ctypes.byref(context), 0, device)
        self.do("cuModuleLoadData", ctypes.byref(module), PTX)
        self.do("cuModuleGetFunction", ctypes.byref(self.work), module, b"work")

    def do(self, name, *words):
        r = getattr(self.lib, name)(*words)
        if r:
            raise SystemExit(f"{name}: CUDA error {r}")

    def run(self, steps=STEPS):
        value = ctypes.c_uint(steps)
        params = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(value), ctypes.c_void_p))
        self.do("cuLaunchKernel", self.work, self.blocks, 1, 1, 256, 1, 1, 0, None, params, None)
        self.do("cuCtxSynchronize")

    def alloc(self, mib):
        at = ctypes.c_uint64()
        self.do("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(mib << 20))


def worker(share, mib, path, blocks=BLOCKS):
    """Runs at this share of the time; writes (launches, seconds alone) as it goes."""
    cuda = Cuda(blocks)
    if mib:
        cuda.alloc(mib)
    for _ in range(5):
        cuda.run()
    begin = time.perf_counter()
    for _ in range(20):
        cuda.run()
    alone = (time.perf_counter() - begin) / 20
    path = pathlib.Path(path)
    path.write_text(json.dumps({"alone": alone}))
    while not path.with_suffix(".go").exists():
        time.sleep(.01)
    alone = json.loads(path.with_suffix(".go").read_text())["alone"]
    count = os.open(path.with_suffix(".n"), os.O_CREAT | os.O_WRONLY)
    os.pwrite(count, b"%20d" % 0, 0)  # always whole: it is read meanwhile
    n, began = 0, time.perf_counter()
    while not path.with_suffix(".stop").exists():
        due = began + n * alone / share if share else time.perf_counter() + 1
        time.sleep(max(0, due - time.perf_counter()))
        if share:
            cuda.run()
            n += 1
            os.pwrite(count, b"%20d" % n, 0)


def nvml_processes():
    """pid to SM utilisation by the newer call, which the agent does not use."""
    class Info(ctypes.Structure):
        _fields_ = [("t", ctypes.c_ulonglong), ("pid", ctypes.c_uint), ("sm", ctypes.c_uint),
                    ("mem", ctypes.c_uint), ("enc", ctypes.c_uint), ("dec", ctypes.c_uint),
                    ("jpg", ctypes.c_uint), ("ofa", ctypes.c_uint)]

    class List(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint), ("n", ctypes.c_uint), ("seen", ctypes.c_ulonglong),
                    ("at", ctypes.POINTER(Info))]
    lib = ctypes.CDLL("libnvidia-ml.so.1")
    lib.nvmlInit_v2()
    device = ctypes.c_void_p()
    lib.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
    room = (Info * 100)()
    got = List(0x01000018, 100, 0, room)
    r = lib.nvmlDeviceGetProcessesUtilizationInfo(device, ctypes.byref(got))
    mode = ctypes.c_uint()
    accounting = lib.nvmlDeviceGetAccountingMode(device, ctypes.byref(mode))
    return {"result": r, "samples": {room[i].pid: room[i].sm for i in range(got.n if not r else 0)},
            "accounting": (accounting, mode.value)}


def smi(fields):
    done = subprocess.run(["nvidia-smi", "--id=0", f"--query-gpu={fields}",
                           "--format=csv,noheader,nounits"], stdout=subprocess.PIPE, text=True)
    return [w.strip() for w in done.stdout.strip().split(",")]


class Bench:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="km-", dir="/tmp"))
        self.root = self.folder / "root"
        (self.root / "proc").mkdir(parents=True)
        self.kubelet = harness.Kubelet(self.folder)
        self.kubelet.start()
        sharing = self.folder / "sharing.yaml"
        sharing.write_text("version: v1\nsharing: {timeSlicing: {resources: "
                           "[{name: nvidia.com/gpu, replicas: 10}]}}\n")
        self.agent = harness.Agent(self.folder, types.SimpleNamespace(root=self.root), self.kubelet,
                                   None)
        self.agent.start("--metrics-listen", "127.0.0.1:0", "--config-file", sharing)
        self.client = Client(harness.wait_until(lambda: self.agent.status().get("metrics"),
                                                lambda: f"served\n{self.agent.log()}"))
        self.runs = 0

    def idle(self):
        """Board values by the exporter, by nvidia-smi before and after."""
        for _ in range(3):
            self.client.scrape()
            time.sleep(1.2)
        names = {"temperature.gpu": "DCGM_FI_DEV_GPU_TEMP", "power.draw": "DCGM_FI_DEV_POWER_USAGE",
                 "clocks.sm": "DCGM_FI_DEV_SM_CLOCK", "clocks.mem": "DCGM_FI_DEV_MEM_CLOCK",
                 "memory.used": "DCGM_FI_DEV_FB_USED", "memory.free": "DCGM_FI_DEV_FB_FREE",
                 "memory.reserved": "DCGM_FI_DEV_FB_RESERVED",
                 "utilization.gpu": "DCGM_FI_DEV_GPU_UTIL",
                 "utilization.memory": "DCGM_FI_DEV_MEM_COPY_UTIL",
                 "temperature.memory": "DCGM_FI_DEV_MEMORY_TEMP"}
        before = smi(",".join(names))
        scrape = self.client.scrape()
        after = smi(",".join(names))
        for (field, name), a, b in zip(names.items(), before, after):
            ours = [v for _, v in scrape.get(name)]
            print(f"{name:35} kerf {ours} nvidia-smi {a} .. {b}")
        return scrape

    def share(self, shares, mib, env=None, blocks=BLOCKS, seconds=10):
        """Sharers with these shares: a row for each, reported against true."""
        self.runs += 1
        pods, workers = [], []
        for i, share in enumerate(shares):
            pod = f"run{self.runs}-{i}"
            self.kubelet.add(pod, "nvidia.com/gpu")
            path = self.folder / f"{pod}.json"
            p = subprocess.Popen([sys.executable, __file__, "worker", str(share), str(mib + 10 * i),
                                  path, str(blocks)], env={**os.environ, **(env or {})})
            harness.wait_until(path.exists, "a worker is there", 60)
            uid = harness.wait_until(lambda: self.kubelet.pods()[pod]["uid"], "the pod")
            (self.root / "proc" / str(p.pid)).mkdir()
            (self.root / "proc" / str(p.pid) / "cgroup").write_text(
                f"0::/kubepods/pod{uid}/{'ab' * 32}\n")
            pods.append(pod)
            workers.append((p, path))
        alone = min(json.loads(path.read_text())["alone"] for _, path in workers)
        for _, path in workers:
            path.with_suffix(".go").write_text(json.dumps({"alone": alone}))
        self.client.scrape()
        time.sleep(4)

        def counts():
            return [int(p.with_suffix(".n").read_text()) if p.with_suffix(".n").exists() else 0
                    for _, p in workers]
        seen = {pod: [] for pod in pods}
        n, begin = counts(), time.perf_counter()
        first = self.client.scrape()
        while time.perf_counter() < begin + seconds:
            time.sleep(1)
            last = self.client.scrape()
            for pod in pods:
                seen[pod] += [v for _, v in last.get("kerf_pod_sm_utilization_ratio", pod=pod)]
        took, n2 = time.perf_counter() - begin, counts()
        print(f"one launch alone {alone * 1000:.2f} ms; GPU_UTIL "
              f"{[v for _, v in last.get('DCGM_FI_DEV_GPU_UTIL')]}, SM active by GPM "
              f"{[v for _, v in last.get('DCGM_FI_PROF_GR_ENGINE_ACTIVE')]}; newer call "
              f"{nvml_processes()}; pids {[p.pid for p, _ in workers]}")
        for i, pod in enumerate(pods):
            true = (n2[i] - n[i]) * alone / took
            mean = sum(seen[pod]) / len(seen[pod]) if seen[pod] else float("nan")
            memory = [v / 2**20 for _, v in last.get("kerf_pod_memory_used_bytes", pod=pod)]
            gained = [b - a for (_, a), (_, b) in zip(
                first.get("kerf_pod_gpu_seconds_total", pod=pod),
                last.get("kerf_pod_gpu_seconds_total", pod=pod))]
            why = [labels["reason"] for labels, _ in last.get("kerf_pod_metric_absent", pod=pod)]
            print(f"  {pod}: true {true:.3f} reported {mean:.3f} error {100 * (mean - true):+.1f} "
                  f"points; GPU-seconds {gained} of {true * took:.2f}; memory {memory} MiB "
                  f"{why}")
        for p, path in workers:
            path.with_suffix(".stop").write_text("")
        for p, _ in workers:
            p.wait(30)
        for pod in pods:
            self.kubelet.delete(pod)

    def close(self):
        self.agent.stop()
        self.kubelet.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_mps(bench):
    pipe = bench.folder / "mps"
    pipe.mkdir()
    env = {"CUDA_MPS_PIPE_DIRECTORY": str(pipe), "CUDA_MPS_LOG_DIRECTORY": str(pipe)}
    daemon = subprocess.Popen(["nvidia-cuda-mps-control", "-f"], env={**os.environ, **env},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    try:
        print("MPS, one sharer busy of two")
        bench.share([.4, 0], 100, env)
        print("MPS, two sharers, 25 % and 50 % of the time, all SMs")
        bench.share([.25, .5], 100, env)
        print("MPS, seven sharers, 10 % each")
        bench.share([.1] * 7, 100, env)
    finally:
        subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True,
                       env={**os.environ, **env}, timeout=30)
        daemon.terminate()


def main():
    bench = Bench()
    try:
        print(subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, text=True).stdout)
        bench.idle()
        print("alone, 60 %")
        bench.share([.6], 500)
        bench.idle()
        print("time-slicing, two sharers, 60 and 30 %")
        bench.share([.6, .3], 100)
        print("time-slicing, seven sharers, 10 % each")
        bench.share([.1] * 7, 100)
        print("time-slicing, seven sharers, as much as they can")
        bench.share([1.0] * 7, 100)
        with_mps(bench)
        scrape = bench.client.scrape()
        print("reading took", scrape.get("kerf_gpu_reading_duration_seconds"))
        print("RSS", bench.agent.memory_kib() / 1024, "anonymous",
              bench.agent.memory_kib("Anonymous") / 1024)
        out = os.environ.get("OUT")
        if out:
            pathlib.Path(out, "metrics.txt").write_text(scrape.text)
            pathlib.Path(out, "agent.log").write_text(bench.agent.log(200))
    finally:
        bench.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        main()
