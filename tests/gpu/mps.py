"""kerf's own holder and gate on a real GPU: python3 tests/gpu/mps.py KERF [ROOT].

Changes no setting of the GPU and ends what it starts.  On the simulator: KERF_SIM_DIR and its root.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

from common import HERE, Outcome

import cuda  # noqa: E402  by common's path

GIB = 1 << 30
TAKES_ILL = 10  # faults, with and without a victim that lingers


class Client(cuda.Client):
    def __init__(self, env, wait=True):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "client.py", os.environ.get("LIBCUDA", "libcuda.so.1")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ, **env))
        self.pid = self.process.pid
        if wait:
            self.join()


class Holder:
    def __init__(self, kerf, root, uuid):
        self.dir, self.uuid = pathlib.Path(tempfile.mkdtemp(prefix="km-", dir="/tmp")), uuid
        self.process = subprocess.Popen([kerf, "mps", "--dir", self.dir, "--root", root],
                                        stdin=subprocess.DEVNULL)
        self.wait((self.dir / "want").exists)
        began = time.monotonic()
        (self.dir / "want" / uuid).touch()
        self.wait(self.is_ready)
        self.ready_ms = (time.monotonic() - began) * 1000

    def wait(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)

    def is_ready(self):
        try:
            return self.ask("status")["state"] == "ACTIVE"
        except OSError:
            return False

    def ask(self, op, **more):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(str(self.dir / self.uuid / "holder.sock"))
        s.sendall(json.dumps({"op": op, **more}).encode() + b"\n")
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
        return json.loads(answer)

    def slice(self, name, gib, percent=0):
        return self.ask("add", slice={"name": name, "bytes": int(gib * GIB), "percent": percent})["folder"]

    def client(self, folder, wait=True):
        return Client({"CUDA_MPS_PIPE_DIRECTORY": str(folder), "CUDA_VISIBLE_DEVICES": self.uuid}, wait)

    def holder(self):
        return int(subprocess.check_output(["pgrep", "-f", f"mps hold.*{self.dir}"], text=True).split()[0])

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def sizes(out, h, total, sms):
    want = {"4": (4, 5), "10": (10, 12), "20": (20, 25), "rest": (total - 40, 50)}
    clients = {n: h.client(h.slice(n, gib, percent), wait=False) for n, (gib, percent) in want.items()}
    for name, (gib, percent) in want.items():
        one = clients[name]
        one.join()
        out.check(f"{gib} GiB and {percent} %: a client that came with three others", one.error == 0, one.error)
        got = one.until_full(step=128)
        out.check(f"it stops below {gib} GiB", gib - 0.6 < got < gib, got)
        out.check(f"it has {percent} % of {sms} SMs", sms * percent / 100 - 4 < one.sm <= max(8, sms * percent / 100 + 0.01),
                  one.sm)
        out.figure(f"slice of {gib} GiB, {percent} %", f"{got:.2f} GiB, {one.sm} SMs", "")
    used = {c["pid"] for s in h.ask("status")["slices"] for c in s["clients"]}
    out.check("the gate knows its clients by their pids", used == {c.pid for c in clients.values()}, used)
    for one in clients.values():
        one.end()


def paths(out, h):
    folder = h.slice("paths", 4)
    for way in ("mem", "pitch", "asynchronous", "pool", "vmm", "managed", "array", "mipmapped"):
        one = h.client(folder)
        got = one.until_full(way, 128, 8)
        out.check(f"{way} stops below 4 GiB", 3 < got < 4, got)
        one.end()


def seven(out, h, total):
    gib = (total - 2) // 7
    clients = [h.client(h.slice(f"seven{i}", gib, 14), wait=False) for i in range(7)]
    for i, one in enumerate(clients):
        one.join()
        got = one.until_full() if one.error == 0 else 0
        out.check(f"client {i + 1} of seven stops below {gib} GiB", gib - 0.8 < got < gib, (one.error, got))
    for one in clients:
        one.end()


def together(out, h):
    folder = h.slice("workers", 6)
    took, refused = 0, 0
    workers = []
    for _ in range(10):
        one = h.client(folder)
        refused += one.error != 0
        took += one.until_full(step=128, most=0.5) if one.error == 0 else 0
        workers.append(one)
    out.check("ten workers of one slice stay within 6 GiB together", 2 < took < 6, took)
    out.figure("ten workers of a slice of 6 GiB", f"{took:.2f} GiB, {refused} found it full", "")
    for one in workers:
        one.end()


def patience(out, h):
    slow, fast = h.slice("slow", 2, 10), h.slice("fast", 4, 40)
    stalled = []
    for words in ((), (b"OUTBCRED\0",)):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(f"{slow}/control")
        s.recv(64)
        for word in words:
            s.send(word)
        stalled.append(s)
    began = time.monotonic()
    one = h.client(fast)
    out.check("two that stall keep nobody waiting", one.error == 0 and one.sm < 60, (one.error, one.sm))
    out.figure("start of a client beside two that stall", (time.monotonic() - began) * 1000, "ms")
    one.end()


def times(out, h):
    folder = h.slice("timed", 4, 20)
    direct = h.dir / h.uuid / "pipe"
    for name, where in (("through the gate", folder), ("without it", direct)) * 2:
        took = []
        for _ in range(8):
            began = time.monotonic()
            one = h.client(where)
            r = one("compute()")
            took.append((time.monotonic() - began) * 1000)
            one.end()
        out.check(f"a client computes {name}", r == 0, r)
        out.median(f"start of Python to a first kernel's result {name}", took, "ms")


def deaths(out, h):
    folder = h.slice("mortal", 4, 20)
    running = h.client(folder)
    before = h.ask("status")
    os.kill(h.holder(), signal.SIGKILL)
    h.wait(lambda: not h.is_ready() or h.ask("status")["starts"] >= 1)
    h.wait(h.is_ready)
    after = h.ask("status")
    out.check("a holder that is killed: the next adopts daemon and server",
              (after["daemon"], after["server"]) == (before["daemon"], before["server"]), after)
    out.check("its clients go on", running("compute()") == 0)
    again = h.client(folder)
    out.check("new ones get their slice", again.error == 0 and 20 < again.sm < 30, (again.error, again.sm))
    running.end()
    again.end()
    began = time.monotonic()
    os.kill(h.ask("status")["daemon"], signal.SIGKILL)
    late = h.client(folder)
    out.check("a daemon that is killed: the next client waits and has its limits",
              late.error == 0 and 20 < late.sm < 30, (late.error, late.sm))
    out.figure("daemon killed to a client that has its context", (time.monotonic() - began) * 1000, "ms")
    late.end()


def faults(out, h):
    folders = [h.slice(f"ill{i}", 4, 20) for i in range(3)]
    for lingers in (False, True):
        took, noticed = [], []
        for _ in range(TAKES_ILL):
            victim, culprit = h.client(folders[0]), h.client(folders[1])
            seen = h.ask("status")["faults"]
            began = time.monotonic()
            culprit.ask("fault()")
            culprit.answer()
            culprit.end()
            if not lingers:
                victim.end()
            else:
                h.wait(lambda n=seen: h.ask("status")["faults"] > n)
                noticed.append((time.monotonic() - began) * 1000)
            fresh = h.client(folders[2])
            r = fresh.error or fresh("compute()")
            took.append((time.monotonic() - began) * 1000)
            out.check(f"after a fault{', a victim lingering,' if lingers else ''} a new client computes", r == 0, r)
            victim.end()
            fresh.end()
        out.median(f"fault to a new client's result, victim {'lingers' if lingers else 'leaves at once'}", took, "ms")
        if noticed:
            out.median("fault to its notice", noticed, "ms")
    told = {e["slice"] for e in h.ask("status")["events"] if e["what"] == "fault"}
    out.check("who was there is told", "ill0" in told, told)


def main():
    kerf, root = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "/"
    out = Outcome()
    said = json.loads(subprocess.check_output([kerf, "status", "--root", root, "-o", "json"]))
    gpu = said["gpus"][0]
    bare = Client({"CUDA_MPS_PIPE_DIRECTORY": "/nonexistent"})
    total, sms = bare("info()")[2] // 1024, bare.sm
    bare.end()
    h = Holder(kerf, root, gpu["uuid"])
    out.figure("asked for a daemon to ready", h.ready_ms, "ms")
    try:
        for step in (lambda: sizes(out, h, total, sms), lambda: paths(out, h), lambda: seven(out, h, total),
                     lambda: together(out, h), lambda: patience(out, h), lambda: times(out, h),
                     lambda: deaths(out, h), lambda: faults(out, h)):
            try:
                step()
            except (AssertionError, OSError, ValueError, KeyError) as error:
                out.check("a step of the run", False, repr(error))
    finally:
        with open(f"/proc/{h.holder()}/status") as f:
            out.figure("holder", int(next(x for x in f if x.startswith("VmRSS")).split()[1]) / 1024, "MiB")
        h.end()
        log = h.dir / h.uuid / "log/mps.log"
        if "OUT" in os.environ and log.exists():
            (pathlib.Path(os.environ["OUT"]) / "mps.log").write_text(log.read_text(errors="replace")[-60000:])
    return out.end()


if __name__ == "__main__":
    sys.exit(main())
