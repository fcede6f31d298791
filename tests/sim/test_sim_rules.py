"""The driver's manners: modes, what is in use, sizes, versions, handles."""
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from ctypes import byref, c_uint, c_ulonglong, c_void_p

import pytest

import nvml as N
from machine import Machine

HERE = pathlib.Path(__file__).parent


def refused(call, *args):
    with pytest.raises(N.Refused) as caught:
        call(*args)
    return caught.value.code


def sliced(driver, name, *profiles, full=True):
    """A machine whose GPU 0 has MIG on and these instances, each with a compute instance."""
    machine, nvml = driver(name)
    gpu = nvml.gpu(0)
    assert nvml.set_mig(gpu, 1) == N.SUCCESS
    gis = [nvml.create(gpu, p) for p in profiles]
    for gi in gis if full else ():
        slices = nvml.profiles(gpu)
        own = next(p for p in slices.values() if p.id == nvml.info(gi).profileId)
        nvml.create_ci(gi, {1: 0, 2: 1, 3: 2, 4: 3, 7: 4}[own.sliceCount])
    return machine, nvml, gpu, gis


# --- modes ---

def test_ampere_takes_a_mode_at_once_when_nobody_else_has_it_open(driver):
    _, nvml = driver("p4d.24xlarge")
    gpu = nvml.gpu(0)
    assert nvml.set_mig(gpu, 1) == N.SUCCESS
    assert nvml.mig_mode(gpu) == (1, 1)
    assert nvml.set_mig(gpu, 1) == N.SUCCESS


def test_ampere_keeps_a_mode_pending_while_a_client_has_it_open(driver):
    machine, nvml = driver("p4d.24xlarge")
    gpu = nvml.gpu(0)
    code = "import sys, nvml; nvml.Nvml(sys.argv[1]).call('Init_v2'); print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, machine.library], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE)
    other.stdout.readline()
    assert nvml.set_mig(gpu, 1) == N.IN_USE
    assert nvml.mig_mode(gpu) == (0, 1)
    other.kill()
    other.wait()
    assert nvml.mig_mode(gpu) == (0, 1), "pending until somebody asks again"
    assert nvml.set_mig(gpu, 1) == N.SUCCESS
    assert nvml.mig_mode(gpu) == (1, 1)


def test_ampere_keeps_a_mode_pending_under_a_process_until_reset(driver):
    machine, nvml = driver("p4d.24xlarge")
    gpu = nvml.gpu(2)
    machine.do("process", "add", "--gpu", 2, "--pid", 77, "--hold")
    assert nvml.set_mig(gpu, 1) == N.IN_USE
    assert "in use by process 77" in machine.do("reset", 2, check=False).stderr
    machine.do("process", "remove", "--pid", 77)
    machine.do("reset", 2)
    assert nvml.mig_mode(gpu) == (1, 1)
    assert nvml.set_mig(nvml.gpu(3), 1) == N.SUCCESS, "the other GPUs are free"


def test_hopper_changes_mode_at_once_beside_other_clients(driver):
    machine, nvml = driver("p5.48xlarge")
    other = subprocess.Popen([machine.kerf, "sim", "busy", machine.dir, "1"],
                             stdout=subprocess.PIPE, text=True)
    other.stdout.readline()
    assert nvml.set_mig(nvml.gpu(0), 1) == N.SUCCESS
    assert nvml.mig_mode(nvml.gpu(0)) == (1, 1)
    assert refused(nvml.set_mig, nvml.gpu(1), 1) == N.IN_USE
    assert nvml.mig_mode(nvml.gpu(1)) == (0, 0)
    other.kill()
    other.wait()
    assert nvml.set_mig(nvml.gpu(1), 1) == N.SUCCESS


def test_hopper_loses_its_mode_with_the_driver_and_ampere_does_not(driver):
    for name, mode in (("p4d.24xlarge", (1, 1)), ("p5.48xlarge", (0, 0))):
        machine, nvml, gpu, _ = sliced(driver, name, 19)
        machine.do("reload")
        assert nvml.try_("DeviceGetMigMode", gpu, byref(c_uint()), byref(c_uint())) == N.UNKNOWN
        nvml.call("Shutdown")
        nvml.call("Init_v2")
        assert nvml.mig_mode(nvml.gpu(0)) == mode
        assert machine.show()["gpus"][0]["instances"] == []


def test_mode_off_waits_for_the_instances(driver):
    _, nvml, gpu, gis = sliced(driver, "p5.48xlarge", 19, full=False)
    assert refused(nvml.set_mig, gpu, 0) == N.IN_USE
    nvml.destroy(gis[0])
    assert nvml.set_mig(gpu, 0) == N.SUCCESS


def test_gpus_without_mig_say_so(driver):
    for name in ("g4dn.xlarge", "g5.48xlarge", "g6.xlarge", "g6e.xlarge", "p3.2xlarge"):
        _, nvml = driver(name)
        gpu = nvml.gpu(0)
        assert refused(nvml.mig_mode, gpu) == N.NOT_SUPPORTED
        assert refused(nvml.profile, gpu, 0) == N.NOT_SUPPORTED
        assert nvml.get("DeviceGetMaxMigDeviceCount", gpu) == 0


def test_profiles_with_mig_off_are_told_from_hopper_on(driver):
    _, ampere = driver("p4d.24xlarge")
    assert refused(ampere.profile, ampere.gpu(0), 0) == N.NOT_SUPPORTED
    assert ampere.placements(ampere.gpu(0), 9) == [(0, 4), (4, 4)]
    assert refused(ampere.create, ampere.gpu(0), 9) == N.NOT_SUPPORTED
    _, hopper = driver("p5.48xlarge")
    assert hopper.profile(hopper.gpu(0), 0).id == 19
    assert refused(hopper.instances, hopper.gpu(0), 19) == N.NOT_SUPPORTED


# --- what is in use ---

def test_instances_go_in_order_processes_then_compute_then_gpu_instances(driver):
    machine, nvml, gpu, (gi,) = sliced(driver, "p4d.24xlarge", 9)
    ci = nvml.cis(gi, 2)[0]
    machine.do("process", "add", "--gpu", 0, "--gi", nvml.info(gi).id, "--ci", 0, "--pid", 5)
    assert nvml.try_("GpuInstanceDestroy", gi) == N.IN_USE
    assert nvml.try_("ComputeInstanceDestroy", ci) == N.IN_USE
    machine.do("process", "remove", "--pid", 5)
    assert nvml.try_("GpuInstanceDestroy", gi) == N.IN_USE
    assert nvml.try_("ComputeInstanceDestroy", ci) == N.SUCCESS
    assert nvml.try_("GpuInstanceDestroy", gi) == N.SUCCESS


def test_a_handle_in_another_process_keeps_a_compute_instance(driver):
    machine, nvml, gpu, (gi,) = sliced(driver, "p4d.24xlarge", 9)
    code = ("import sys, nvml; n = nvml.Nvml(sys.argv[1]); n.call('Init_v2'); "
            "n.mig(n.gpu(0), 0); print(1, flush=True); input()")
    other = subprocess.Popen([sys.executable, "-c", code, machine.library], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE)
    other.stdout.readline()
    ci = nvml.cis(gi, 2)[0]
    assert nvml.try_("ComputeInstanceDestroy", ci) == N.IN_USE
    other.kill()
    other.wait()
    assert nvml.try_("ComputeInstanceDestroy", ci) == N.SUCCESS


def test_a_full_instance_takes_no_further_compute_instance(driver):
    _, nvml, _, (gi,) = sliced(driver, "p4d.24xlarge", 9)
    assert refused(nvml.create_ci, gi, 2) == N.INSUFFICIENT_RESOURCES
    assert refused(nvml.create_ci, gi, 4) == N.NOT_SUPPORTED
    assert refused(nvml.create_ci, gi, 9) == N.INVALID_ARGUMENT


@pytest.mark.parametrize("pid, counts", [
    (19, {0: 1}), (14, {0: 2, 1: 1}), (9, {0: 3, 1: 1, 2: 1}), (5, {0: 4, 1: 2, 3: 1}),
    (0, {0: 7, 1: 3, 2: 2, 3: 1, 4: 1})])
def test_compute_instances_fit_as_often_as_documented(driver, pid, counts):
    _, nvml, gpu, (gi,) = sliced(driver, "p5.48xlarge", pid, full=False)
    for constant in range(9):
        info = N.CiProfile()
        code = nvml.try_("GpuInstanceGetComputeInstanceProfileInfo", gi, c_uint(constant),
                         c_uint(0), byref(info))
        if constant not in counts:
            assert code == N.NOT_SUPPORTED
            continue
        assert info.instanceCount == counts[constant]
        made = [nvml.create_ci(gi, constant) for _ in range(info.instanceCount)]
        assert [nvml.ci_info(ci).id for ci in made] == list(range(len(made)))
        assert refused(nvml.create_ci, gi, constant) == N.INSUFFICIENT_RESOURCES
        for ci in made:
            nvml.call("ComputeInstanceDestroy", ci)


def test_only_one_me_fits(driver):
    _, nvml, gpu, _ = sliced(driver, "p4d.24xlarge", 20)
    assert refused(nvml.create, gpu, 20) == N.INSUFFICIENT_RESOURCES
    assert refused(nvml.create, gpu, 0) == N.INSUFFICIENT_RESOURCES


def test_places_off_the_list_are_no_argument(driver):
    _, nvml, gpu, _ = sliced(driver, "p4d.24xlarge")
    assert refused(nvml.create, gpu, 14, 1, 2) == N.INVALID_ARGUMENT
    assert refused(nvml.create, gpu, 14, 0, 1) == N.INVALID_ARGUMENT
    nvml.create(gpu, 14, 0, 2)
    assert refused(nvml.create, gpu, 14, 0, 2) == N.INSUFFICIENT_RESOURCES


# --- MIG devices ---

def test_mig_devices_have_names_uuids_and_memory_of_their_own(driver):
    machine, nvml, gpu, (gi,) = sliced(driver, "p4d.24xlarge", 9, full=False)
    nvml.create_ci(gi, 1)
    mig = nvml.mig(gpu, 0)
    assert nvml.text("DeviceGetName", mig) == "NVIDIA A100-SXM4-40GB MIG 2c.3g.20gb"
    uuid = nvml.text("DeviceGetUUID", mig)
    assert uuid[:4] == "MIG-" and uuid[18] == "5"
    attributes = nvml.get("DeviceGetAttributes_v2", mig, N.Attributes)
    assert (attributes.multiprocessorCount, attributes.gpuInstanceSliceCount,
            attributes.computeInstanceSliceCount, attributes.memorySizeMB) == (28, 3, 2, 19968)
    assert nvml.get("DeviceGetMemoryInfo", mig, N.Memory).total == 19968 << 20
    assert nvml.get("DeviceGetGpuInstanceId", mig) == 2
    assert refused(nvml.get, "DeviceGetGpuInstanceId", gpu) == N.NOT_SUPPORTED
    assert nvml.by_uuid(uuid).value == mig.value
    assert refused(nvml.get, "DeviceGetUtilizationRates", gpu, N.Utilization) == N.NOT_SUPPORTED
    nvml.clear(gpu)
    assert refused(nvml.text, "DeviceGetName", mig) == N.INVALID_ARGUMENT
    assert refused(nvml.by_uuid, uuid) == N.NOT_FOUND
    again = nvml.create(gpu, 9, 4, 4)
    nvml.create_ci(again, 1)
    assert nvml.text("DeviceGetUUID", nvml.mig(gpu, 0)) == uuid, "the same place, the same name"
    assert refused(nvml.text, "DeviceGetName", mig) == N.INVALID_ARGUMENT, "not the old handle"


def test_indices_keep_their_holes(driver):
    _, nvml, gpu, gis = sliced(driver, "p4d.24xlarge", 19, 19, 19)
    nvml.call("ComputeInstanceDestroy", nvml.cis(gis[1], 0)[0])
    assert refused(nvml.mig, gpu, 1) == N.NOT_FOUND
    assert nvml.get("DeviceGetGpuInstanceId", nvml.mig(gpu, 2)) == nvml.info(gis[2]).id
    assert nvml.get("DeviceGetMaxMigDeviceCount", gpu) == 7
    assert refused(nvml.mig, gpu, 7) == N.INVALID_ARGUMENT


def test_old_drivers_name_mig_devices_by_their_numbers(driver):
    machine, nvml = driver("p4d.24xlarge", "--driver", "460.91.03", "--cuda", "11.2")
    gpu = nvml.gpu(0)
    nvml.set_mig(gpu, 1)
    nvml.create_ci(nvml.create(gpu, 19), 0)
    uuid = nvml.text("DeviceGetUUID", nvml.mig(gpu, 0))
    assert uuid == f"MIG-{nvml.text('DeviceGetUUID', gpu)}/13/0"
    assert refused(nvml.profile, gpu, 7) == N.INVALID_ARGUMENT, "+me came with R470"


def test_files_of_instances_come_and_go(driver):
    machine, nvml, gpu, (gi,) = sliced(driver, "p4d.24xlarge", 19)
    caps = machine.dir / "root/proc/driver/nvidia/capabilities/gpu0/mig/gi13"
    minor = 3 + 9 * 13
    assert (caps / "access").read_text().startswith(f"DeviceFileMinor: {minor}\n")
    assert (caps / "ci0/access").read_text().startswith(f"DeviceFileMinor: {minor + 1}\n")
    nodes = machine.dir / "root/dev/nvidia-caps"
    assert {f"nvidia-cap{minor}", f"nvidia-cap{minor + 1}"} <= {p.name for p in nodes.iterdir()}
    nvml.clear(gpu)
    assert not caps.exists()
    assert {p.name for p in nodes.iterdir()} == {"nvidia-cap1", "nvidia-cap2"}
    minors = (machine.dir / "root/proc/driver/nvidia-caps/mig-minors").read_text().split("\n")
    assert len([line for line in minors if line]) == 2 + 32 * 135
    assert "gpu31/gi14/ci7/access 4322" in minors


# --- contracts ---

def test_process_lists_tell_the_size_that_they_need(driver):
    machine, nvml = driver("p5.48xlarge")
    gpu, n = nvml.gpu(0), c_uint()
    name = "DeviceGetComputeRunningProcesses_v3"
    assert nvml.try_(name, gpu, byref(n), None) == N.SUCCESS
    for pid in (10, 11, 12):
        machine.do("process", "add", "--gpu", 0, "--pid", pid, "--memory", pid, "--sm", 20)
    assert nvml.try_(name, gpu, byref(n), None) == N.INSUFFICIENT_SIZE and n.value == 3
    n, room = c_uint(2), (N.Process * 3)()
    assert nvml.try_(name, gpu, byref(n), room) == N.INSUFFICIENT_SIZE and n.value == 3
    assert room[0].pid == 0, "nothing written"
    assert [(p["pid"], p["usedGpuMemory"] >> 20) for p in nvml.processes(gpu)] == [
        (10, 10), (11, 11), (12, 12)]
    assert nvml.processes(gpu, "Graphics") == []
    assert nvml.get("DeviceGetUtilizationRates", gpu, N.Utilization).gpu == 60


def test_versioned_structs_are_told_apart(driver):
    _, nvml = driver("g7e.12xlarge")
    gpu, name = nvml.gpu(0), "DeviceGetGpuInstanceProfileInfoV"
    v2, v3 = N.GiProfileV2(version=N.version(N.GiProfileV2, 2)), N.GiProfileV3()
    assert nvml.try_(name, gpu, c_uint(10), byref(v2)) == N.SUCCESS
    assert (v2.name, v2.memorySizeMB) == (b"MIG 1g.24gb+gfx", 24192)
    assert nvml.try_(name, gpu, c_uint(10), byref(v3)) == N.VERSION_MISMATCH
    v3.version = N.version(N.GiProfileV3, 3)
    assert nvml.try_(name, gpu, c_uint(10), byref(v3)) == N.SUCCESS
    assert (v3.name, v3.memorySizeMB, v3.capabilities) == (b"MIG 1g.24gb+gfx", 24192, 2)


def test_metrics_touch_only_what_was_asked(driver):
    _, nvml = driver("p5.48xlarge")

    class Get(ctypes.Structure):
        _fields_ = [("version", c_uint), ("n", c_uint), ("a", c_void_p), ("b", c_void_p),
                    ("metric", N.GpmMetric * 2)]
    samples = [c_void_p(), c_void_p()]
    for sample in samples:
        nvml.call("GpmSampleAlloc", byref(sample))
        nvml.call("GpmSampleGet", nvml.gpu(0), sample)
    get = Get(1, 1, *samples)
    get.metric[0].metricId = 2
    get.metric[1].metricId, get.metric[1].value = 2, 1234.5
    nvml.call("GpmMetricsGet", byref(get))
    assert get.metric[0].nvmlReturn == 0 and get.metric[1].value == 1234.5
    for sample in samples:
        nvml.call("GpmSampleFree", sample)


def test_calls_before_init_and_after_shutdown_are_uninitialized(machine):
    nvml = N.Nvml(machine("p4d.24xlarge").library)
    assert nvml.try_("DeviceGetCount_v2", byref(c_uint())) == N.UNINITIALIZED
    for _ in range(3):
        nvml.call("Init_v2")
    gpu = nvml.gpu(1)
    for _ in range(3):
        nvml.call("Shutdown")
    assert nvml.try_("DeviceGetCount_v2", byref(c_uint())) == N.UNINITIALIZED
    assert nvml.try_("Shutdown") == N.UNINITIALIZED
    nvml.call("Init_v2")
    assert nvml.get("DeviceGetIndex", gpu) == 1, "handles outlive a shutdown"
    nvml.call("Shutdown")


def test_second_names_are_the_same_calls(driver):
    _, nvml = driver("mixed")
    n = c_uint()
    assert nvml.try_("DeviceGetCount", byref(n)) == N.SUCCESS and n.value == 5
    handle = c_void_p()
    for bus, index in ((b"0000:65:00.0", 2), (b"00000001:C8:00.0", 4), (b"3b:00.0", 1)):
        nvml.call("DeviceGetHandleByPciBusId", bus, byref(handle))
        assert nvml.get("DeviceGetIndex", handle) == index
    assert [nvml.get("DeviceGetMinorNumber", nvml.gpu(i)) for i in range(5)] == [3, 0, 4, 1, 2]


def test_nvidia_smi_finds_its_table_of_private_calls(driver):
    _, nvml = driver("g6.xlarge")
    table = c_void_p()
    wanted = bytes.fromhex("c4fe3e6cc98f6c4ea327ee696e12f7c4")
    assert nvml.lib.nvmlInternalGetExportTable(byref(table), wanted) == N.SUCCESS
    words = ctypes.cast(table, ctypes.POINTER(ctypes.c_size_t))
    assert words[0] >= 16
    call = ctypes.CFUNCTYPE(ctypes.c_int)(words[words[0] // 8 - 1])
    assert call() == N.NOT_SUPPORTED
    assert nvml.lib.nvmlInternalGetExportTable(byref(table), bytes(16)) == N.NOT_FOUND


@pytest.fixture
def open_folder():
    """One that every user may enter, unlike pytest's."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kerf-sim-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_only_root_and_the_owner_change_a_machine(kerf, open_folder):
    made = Machine(kerf, open_folder / "m", "p4d.24xlarge")
    made.do("process", "add", "--gpu", 0, "--pid", 9)
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        nvml = made.open()
        codes = [nvml.try_("DeviceSetMigMode", nvml.gpu(1), c_uint(1), byref(c_uint())),
                 nvml.try_("DeviceSetPersistenceMode", nvml.gpu(1), c_uint(0))]
        seen = nvml.mig_mode(nvml.gpu(1)), len(nvml.processes(nvml.gpu(0)))
        os._exit(0 if codes == [N.NO_PERMISSION] * 2 and seen == ((0, 0), 1) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    os.chown(made.dir / "state", 65534, 65534)
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        nvml = made.open()
        os._exit(nvml.set_mig(nvml.gpu(1), 1))
    assert os.waitpid(pid, 0)[1] == 0


# --- what `kerf sim` can do to a machine ---

def test_faults_fail_once_n_times_or_from_the_nth_on(driver):
    machine, nvml = driver("p4d.24xlarge")

    def codes(n):
        return [nvml.try_("DeviceGetCount_v2", byref(c_uint())) for _ in range(n)]
    machine.do("fault", "nvmlDeviceGetCount_v2", "GPU_IS_LOST", "--times", 2)
    assert codes(3) == [15, 15, 0]
    machine.do("fault", "nvmlDeviceGetCount_v2", 999, "--from", 3)
    assert codes(4) == [0, 0, 999, 999]
    machine.do("fault", "nvmlDeviceGetCount_v2", "--clear")
    machine.do("fault", "nvmlDeviceGetCount_v2", 3, "--from", 2, "--times", 1)
    assert codes(3) == [0, 3, 0]
    machine.do("fault", "all", "TIMEOUT")
    assert codes(2) == [10, 10]
    machine.do("fault", "all", "--clear")
    machine.do("fault", "nvmlDeviceGetCount_v2", "--delay", 120)
    before = time.monotonic()
    assert codes(1) == [0] and time.monotonic() - before >= 0.12
    assert "no call 'nvmlNonsense'" in machine.do("fault", "nvmlNonsense", 3, check=False).stderr


def test_a_fault_kills_before_or_behind_the_call(driver):
    machine, _ = driver("p5.48xlarge")
    code = ("import sys, nvml; n = nvml.Nvml(sys.argv[1]); n.call('Init_v2'); "
            "n.set_mig(n.gpu(int(sys.argv[2])), 1)")
    for gpu, when, mode in ((0, "kill", False), (1, "kill-after", True)):
        machine.do("fault", "nvmlDeviceSetMigMode", when, "--times", 1)
        died = subprocess.run([sys.executable, "-c", code, machine.library, str(gpu)],
                              cwd=HERE)
        assert died.returncode == -signal.SIGKILL
        assert machine.show()["gpus"][gpu]["mig_current"] is mode


def test_waiting_for_events_ends_with_one_or_in_time(driver):
    machine, nvml, gpu, _ = sliced(driver, "p4d.24xlarge", 19)
    events, event = c_void_p(), N.Event()
    nvml.call("EventSetCreate", byref(events))
    nvml.call("DeviceRegisterEvents", gpu, c_ulonglong(8), events)
    before = time.monotonic()
    assert nvml.try_("EventSetWait_v2", events, byref(event), c_uint(150)) == N.TIMEOUT
    assert time.monotonic() - before >= 0.15
    threading.Timer(0.1, machine.do, ("xid", 0, 31, "--gi", 13, "--ci", 0)).start()
    assert nvml.try_("EventSetWait_v2", events, byref(event), c_uint(20000)) == N.SUCCESS
    assert (event.device, event.type, event.data, event.gi, event.ci) == (gpu.value, 8, 31, 13, 0)
    machine.do("xid", 1, 48)
    assert nvml.try_("EventSetWait_v2", events, byref(event), c_uint(10)) == N.TIMEOUT
    machine.do("lose", 0)
    assert nvml.try_("EventSetWait_v2", events, byref(event), c_uint(10)) == N.SUCCESS
    assert event.data == 79
    assert nvml.try_("EventSetWait_v2", events, byref(event), c_uint(10)) == N.GPU_IS_LOST
    assert refused(nvml.text, "DeviceGetName", gpu) == N.GPU_IS_LOST
    machine.do("lose", 0, "--back")
    assert nvml.text("DeviceGetName", gpu)
    nvml.call("EventSetFree", events)


def test_a_driver_that_is_not_loaded_says_so(machine):
    made = machine("p4d.24xlarge")
    made.do("unload")
    nvml = N.Nvml(made.library)
    assert nvml.try_("Init_v2") == N.DRIVER_NOT_LOADED
    made.do("load")
    assert nvml.try_("Init_v2") == N.SUCCESS
    nvml.call("Shutdown")


def test_a_child_is_a_client_of_its_own(driver):
    machine, nvml = driver("p4d.24xlarge")
    pid = os.fork()
    if pid == 0:
        nvml.count()
        clients = {c for c in machine.show()["clients"]}
        os._exit(0 if {os.getppid(), os.getpid()} <= clients else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert machine.show()["clients"] == [os.getpid()]
    assert nvml.set_mig(nvml.gpu(0), 1) == N.SUCCESS, "the child is gone"


@pytest.mark.parametrize("name,code", [("p4d.24xlarge", N.SUCCESS), ("p3.2xlarge", N.NOT_SUPPORTED)])
def test_a_gpu_since_turing_says_how_it_addresses_memory(driver, name, code):
    _, nvml = driver(name)
    mode = N.struct("Mode", *N.uints("version value"))(0, 7)
    assert nvml.try_("DeviceGetAddressingMode", nvml.gpu(0), byref(mode)) == N.VERSION_MISMATCH
    mode.version = N.version(type(mode), 1)
    assert nvml.try_("DeviceGetAddressingMode", nvml.gpu(0), byref(mode)) == code
    assert mode.value == (0 if code == N.SUCCESS else 7)
