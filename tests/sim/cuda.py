"""A CUDA program by ctypes, in a process of its own: python3 cuda.py LIBCUDA, commands on its input.

Every line is a call in Python's words (`mem(256)`), every answer a line of JSON.  So a test can look
at it, end it, or let it wait, as it would with any program."""
import ctypes
import json
import os
import subprocess
import sys
import threading
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

MIB = 1 << 20
OUT_OF_MEMORY, NOT_INITIALIZED, NO_DEVICE, INVALID_DEVICE, UNAVAILABLE = 2, 3, 100, 101, 46
ILLEGAL_ADDRESS, CONNECTION_FAILED, RPC_FAILURE, NOT_READY = 700, 805, 806, 807
MAX_CLIENTS, TERMINATED = 808, 810
PTX = (".version 6.0\n.target sm_50\n.address_size 64\n" + "".join(
    f".visible .entry {name}(.param .u64 p)\n{{\n ret;\n}}\n" for name in ("fill", "spin", "bad")))


class Client:
    """A process with a context, as far as it comes: client.error is what stopped it, 0 is nothing."""

    def __init__(self, machine, env=None, wait=True, **how):
        library = machine.library.parent / "libcuda.so.1"
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(library)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=dict(machine.env(), **(env or {})), **how)
        self.pid = self.process.pid
        if wait:
            self.join()

    def join(self, timeout=None):
        """What it said of its start; False if it has not said anything in that time."""
        if timeout is not None:
            import select
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                return False
        said = json.loads(self.process.stdout.readline())
        self.error, self.sm, self.devices = said["error"], said["sm"], said["devices"]
        return True

    def __call__(self, command):
        self.ask(command)
        return self.answer()

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def until_full(self, way="mem", step=256, most=160):
        """GiB that it could take, by steps of so many MiB."""
        return self(f"until_full('{way}', {step}, {most})") / 1024

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


# --- the program ---

class Array3D(ctypes.Structure):
    _fields_ = [("w", c_size_t), ("h", c_size_t), ("d", c_size_t), ("format", c_int),
                ("channels", c_uint), ("flags", c_uint)]


class Array(ctypes.Structure):
    _fields_ = [("w", c_size_t), ("h", c_size_t), ("format", c_int), ("channels", c_uint)]


class Program:
    def __init__(self, path):
        self.cu = ctypes.CDLL(path)
        self.error = self.cu.cuInit(0)
        self.sm, self.devices = 0, 0
        context, n = c_void_p(), c_int()
        if not self.error:
            self.cu.cuDeviceGetCount(byref(n))
            self.devices = n.value
            self.error = self.cu.cuCtxCreate_v2(byref(context), 0, 0)
        if not self.error:
            self.cu.cuDeviceGetAttribute(byref(n), 16, 0)
            self.sm = n.value

    def mem(self, mib):
        return self.cu.cuMemAlloc_v2(byref(c_ulonglong()), c_size_t(mib * MIB))

    def pitch(self, mib):
        return self.cu.cuMemAllocPitch_v2(byref(c_ulonglong()), byref(c_size_t()), c_size_t(MIB),
                                          c_size_t(mib), 4)

    def asynchronous(self, mib):
        return self.cu.cuMemAllocAsync(byref(c_ulonglong()), c_size_t(mib * MIB), None)

    def pool(self, mib):
        pool, prop = c_void_p(), (c_int * 32)(1, 0, 1, 0)
        return (self.cu.cuMemPoolCreate(byref(pool), prop) or self.cu.cuMemAllocFromPoolAsync(
            byref(c_ulonglong()), c_size_t(mib * MIB), pool, None))

    def vmm(self, mib):
        handle, at, prop = c_ulonglong(), c_ulonglong(), (c_int * 32)(1, 0, 1, 0)
        n = c_size_t(mib * MIB)
        return (self.cu.cuMemCreate(byref(handle), n, prop, c_ulonglong(0)) or
                self.cu.cuMemAddressReserve(byref(at), n, c_size_t(0), c_ulonglong(0), c_ulonglong(0))
                or self.cu.cuMemMap(at, n, c_size_t(0), handle, c_ulonglong(0)))

    def managed(self, mib):
        return self.cu.cuMemAllocManaged(byref(c_ulonglong()), c_size_t(mib * MIB), 1)

    def array(self, mib):
        return self.cu.cuArrayCreate_v2(byref(c_void_p()), byref(Array(16384, mib * 16, 0x20, 1)))

    def mipmapped(self, mib):
        return self.cu.cuMipmappedArrayCreate(byref(c_void_p()),
                                              byref(Array3D(16384, mib * 16, 0, 0x20, 1, 0)), 1)

    def until_full(self, way, step, most):
        """MiB that could be had before OUT_OF_MEMORY."""
        got = 0
        while got < most * 1024:
            r = getattr(self, way)(step)
            if r == OUT_OF_MEMORY:
                break
            assert r == 0, r
            got += step
        return got

    def info(self):
        """Free and total, in MiB."""
        free, total = c_size_t(), c_size_t()
        r = self.cu.cuMemGetInfo_v2(byref(free), byref(total))
        return [r, free.value // MIB, total.value // MIB]

    def launch(self, kernel, parameter=0):
        module, function = c_void_p(), c_void_p()
        parameter = c_ulonglong(parameter)
        params = (c_void_p * 1)(ctypes.cast(byref(parameter), c_void_p))
        return (self.cu.cuModuleLoadData(byref(module), c_char_p(PTX.encode())) or
                self.cu.cuModuleGetFunction(byref(function), module, c_char_p(kernel.encode())) or
                self.cu.cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, None, params, None))

    def sync(self):
        return self.cu.cuCtxSynchronize()

    def spin(self, seconds):
        khz = c_int()
        self.cu.cuDeviceGetAttribute(byref(khz), 13, 0)
        return self.launch("spin", int(seconds * 1000 * khz.value)) or self.sync()

    def fault(self):
        """A write to address 16."""
        return self.launch("bad") or self.sync()

    def compute(self):
        """256 numbers by a kernel: 0, or what went wrong."""
        at, out = c_ulonglong(), (c_uint * 256)()
        r = (self.cu.cuMemAlloc_v2(byref(at), c_size_t(1024)) or self.launch("fill", at.value) or
             self.cu.cuMemcpyDtoH_v2(out, at, c_size_t(1024)) or self.cu.cuMemFree_v2(at))
        return r or (0 if list(out) == [3 * i + 7 for i in range(256)] else -1)

    def context(self):
        """One more."""
        return self.cu.cuCtxCreate_v2(byref(c_void_p()), 0, 0)

    def attribute(self, which):
        n = c_int()
        assert self.cu.cuDeviceGetAttribute(byref(n), which, 0) == 0
        return n.value

    def setenv(self, name, value):
        os.environ[name] = value

    def uuid(self):
        out = (ctypes.c_ubyte * 16)()
        self.cu.cuDeviceGetUuid_v2(out, 0)
        return bytes(out).hex()

    def fork(self):
        """What a child gets from the library."""
        r, w = os.pipe()
        if os.fork() == 0:
            os.write(w, str(self.mem(1)).encode())
            os._exit(0)
        os.wait()
        return int(os.read(r, 8))


def main():
    program = Program(sys.argv[1])
    names = {name: getattr(program, name) for name in dir(program) if not name.startswith("_")}

    def say(what):
        print(json.dumps(what), flush=True)

    say({"error": program.error, "sm": program.sm, "devices": program.devices})
    for line in sys.stdin:
        say(eval(line, dict(names)))  # a test's own words


if __name__ == "__main__":
    main()
