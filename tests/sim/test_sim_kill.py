"""kill -9 of any program at any moment leaves the machine sound."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import nvml as N

HERE = pathlib.Path(__file__).parent

# A program that changes GPUs at random until it is killed.
WORKER = """
import random, sys, nvml
n, rng = nvml.Nvml(sys.argv[1]), random.Random(int(sys.argv[2]))
n.call("Init_v2")
print("on", flush=True)
while True:
    gpu = n.gpu(rng.randrange(2))
    try:
        gi = n.create(gpu, rng.choice([19, 19, 14, 9, 5, 15, 20]))
        n.create_ci(gi, 0)
    except nvml.Refused:
        pass
    if rng.random() < 0.3:
        try:
            n.clear(gpu)
        except nvml.Refused:
            pass
"""


def start(machine, seed):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, machine.library, str(seed)],
                              stdout=subprocess.PIPE, text=True, cwd=HERE)
    assert worker.stdout.readline() == "on\n"
    return worker


def check_layout(nvml, gpu):
    """Instances do not overlap, have the ids of their places, and their files are there."""
    units, found = 0, {}
    for p in nvml.profiles(gpu).values():
        for gi in nvml.instances(gpu, p.id):
            info = nvml.info(gi)
            own = ((1 << info.size) - 1) << info.start
            assert not units & own
            units |= own
            assert info.id == 8 // info.size - 1 + info.start // info.size
            found[info.id] = [c for c in range(8) if nvml.try_(
                "GpuInstanceGetComputeInstanceById", gi, N.c_uint(c), N.byref(N.c_void_p())) == 0]
    return found


def check_files(machine, index, found):
    caps = machine.dir / f"root/proc/driver/nvidia/capabilities/gpu{index}/mig"
    assert {f"gi{g}" for g in found} == {p.name for p in caps.iterdir()}
    for g, cis in found.items():
        assert {f"ci{c}" for c in cis} | {"access"} == {p.name for p in (caps / f"gi{g}").iterdir()}


def test_kills_at_random_leave_the_machine_sound(machine):
    made = machine("p5.48xlarge")
    rng, kills = random.Random(7), 0
    nvml = made.open()
    for i in range(2):
        nvml.set_mig(nvml.gpu(i), 1)
    nvml.call("Shutdown")
    workers = [start(made, seed) for seed in range(3)]
    try:
        for seed in range(3, 60):
            time.sleep(rng.random() * 0.02)
            victim = workers.pop(rng.randrange(len(workers)))
            victim.kill()
            assert victim.wait() == -signal.SIGKILL, "it ended by itself"
            victim.stdout.close()
            kills += 1
            workers.append(start(made, seed))
            assert made.show()["gpus"][0]["lost"] is False
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()
    nvml.call("Init_v2")  # puts the files right if the last one died over them
    assert made.show()["clients"] == [os.getpid()]
    for i in range(2):
        check_files(made, i, check_layout(nvml, nvml.gpu(i)))
        nvml.clear(nvml.gpu(i))
        assert check_layout(nvml, nvml.gpu(i)) == {}
        nvml.destroy(nvml.create(nvml.gpu(i), 0))
    nvml.call("Shutdown")
    assert kills == 57


def test_a_death_inside_the_lock_holds_up_nobody(machine):
    """A stopped holder is killed: the next one takes the lock over."""
    made = machine("p5.48xlarge")
    nvml = made.open()
    for gpu in range(2):
        nvml.set_mig(nvml.gpu(gpu), 1)
    for seed in range(40):
        worker = start(made, seed)
        time.sleep(0.003)
        worker.send_signal(signal.SIGSTOP)
        worker.kill()
        worker.wait()
        worker.stdout.close()
        assert nvml.count() == 8
        check_layout(nvml, nvml.gpu(0))
    nvml.call("Shutdown")
