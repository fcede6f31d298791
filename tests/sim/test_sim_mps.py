"""MPS as it was measured on an H200 and an H100 (measured.md, "MPS up close", "Caps", "MPS faults"):
each row of the tables is a test.  Both have 132 SMs."""
import ctypes
import os
import pathlib
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

import cuda
import nvml as N
from cuda import Client
from mps import Mps, alive, await_

H100, H200 = "p5.48xlarge", "p5en.48xlarge"
PROBE = pathlib.Path(__file__).resolve().parent.parent / "gpu/probe.c"
root = pytest.mark.skipif(os.geteuid() != 0, reason="wants root, to be several users")


@pytest.fixture
def mps(machine, request):
    """mps(H200, ...) makes a machine and starts a daemon for its first GPU, in a folder for all."""
    started, folders = [], []

    def make(name, *options, **how):
        on = name if not isinstance(name, str) else machine(name)
        folders.append(tempfile.mkdtemp(prefix="kerf-mps-", dir="/tmp"))
        os.chmod(folders[-1], 0o755)
        started.append(Mps(on, folders[-1], *options, **how))
        return started[-1]

    yield make
    for one in started:
        one.end()
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture
def shared(kerf):
    """A machine in a folder that all users may enter."""
    from machine import Machine
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kerf-sim-", dir="/tmp"))
    os.chmod(folder, 0o755)
    yield Machine(kerf, folder / "m", H200)
    shutil.rmtree(folder)


@pytest.fixture
def program():
    """program(machine) is a client of whatever its environment says, ended with the test."""
    started = []

    def make(machine, **env):
        started.append(Client(machine, {"CUDA_VISIBLE_DEVICES": "0", **env}))
        return started[-1]

    yield make
    for one in started:
        one.end()


# --- limits set on the server, and what a client's environment makes of them ---

NO_LIMIT = 40
TABLE = [
    # environment, SMs, GiB in steps of 256 MiB up to 40
    ({}, 66, 7.5),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=4G"}, 66, 3.5),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "UUID=4G"}, 66, 3.5),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=20G"}, 66, 7.5),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=4G,1=4G"}, 66, NO_LIMIT),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "bogus"}, 66, NO_LIMIT),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": ""}, 66, 7.5),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=0"}, 66, NO_LIMIT),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=-1G"}, 66, 7.5),
    ({"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=1G"}, 66, 0.5),
    ({"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "0"}, 66, 7.5),
    ({"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "20"}, 26, 7.5),
    ({"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "90"}, 66, 7.5),
    ({"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "x"}, 66, 7.5),
    ({"CUDA_MPS_ENABLE_PER_CTX_DEVICE_MULTIPROCESSOR_PARTITIONING": "1"}, 132, 7.5),
    ({"CUDA_MPS_PIPE_DIRECTORY": "/nonexistent"}, 132, NO_LIMIT),
]


@pytest.mark.parametrize("env, sms, gib", TABLE, ids=[" ".join(
    f"{k.removeprefix('CUDA_MPS_').lower()}={v}" for k, v in e.items()) or "nothing"
    for e, _, _ in TABLE])
def test_a_clients_environment(mps, env, sms, gib):
    daemon = mps(H200)
    daemon.start("8G", 50)
    client = daemon.client({k: v.replace("UUID", daemon.uuid) for k, v in env.items()})
    assert client.error == 0
    assert client.sm == sms
    assert client.until_full(most=40) == gib
    on_mps = "/nonexistent" not in env.values()
    kinds = [p["kind"] for p in daemon.machine.show()["gpus"][0]["processes"]]
    assert kinds == ["mps-server", "mps" if on_mps else "compute"]


EACH = {"CUDA_MPS_ENABLE_PER_CTX_DEVICE_MULTIPROCESSOR_PARTITIONING": "1"}


@pytest.mark.parametrize("memory, percent, env, sms, free", [
    ("3G", 20, {}, 26, 2949), ("4G", 50, {}, 66, 3825), ("3G", 20, EACH, 132, 2562)])
def test_what_is_free_under_a_limit_is_what_the_context_leaves(mps, memory, percent, env, sms, free):
    daemon = mps(H100)
    daemon.start(memory, percent)
    client = daemon.client(env)
    assert (client.sm, client("info()")) == (sms, [0, free, 81079])


def test_a_second_context_has_no_limit_of_its_own_and_a_channel_of_its_own(mps):
    daemon = mps(H100)
    server = daemon.start("3G", 20)
    client = daemon.client()
    assert client.until_full(step=2048, most=2) == 2
    daemon.limit(server, "8G", 60)
    assert client("context()") == 0
    assert client("info()") == [0, 778, 81079]
    assert daemon.do("get_device_client_list").splitlines()[1:] == [f"{client.pid}.1", f"{client.pid}.2"]
    assert daemon.do(f"get_client_list {server}") == f"{client.pid}\n"


def test_the_environment_counts_at_cuinit(mps):
    daemon = mps(H100)
    daemon.start("3G", 20)
    client = daemon.client()
    for name, value in (("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "bogus"), *EACH.items(),
                        ("CUDA_MPS_PIPE_DIRECTORY", "/nonexistent")):
        client(f"setenv('{name}', '{value}')")
    assert client("context()") == 0
    assert client("attribute(16)") == 26
    assert client.until_full() == 2.75


@pytest.mark.parametrize("way", ["mem", "pitch", "asynchronous", "pool", "vmm", "managed", "array",
                                 "mipmapped"])
def test_all_eight_ways_to_allocate_stop_at_the_limit(mps, way):
    daemon = mps(H100)
    daemon.start("4G")
    client = daemon.client()
    assert client.until_full(way, 512, 40) == 3.0
    error, free, total = client("info()")
    assert (error, total) == (0, 81079), "the total is the whole GPU's"
    assert 400 <= free <= 512


def test_each_client_keeps_the_limits_that_were_set_when_it_connected(mps):
    daemon = mps(H200)
    server = daemon.start()
    sizes = [("3G", 20, 2.75, 26), ("6G", 40, 5.75, 52), ("10G", 70, 9.5, 92), ("2G", 10, 1.75, 12)]
    clients = []
    for memory, percent, _, _ in sizes:
        daemon.limit(server, memory, percent)
        clients.append(daemon.client())
    for client, (_, _, gib, sms) in zip(clients, sizes):
        assert client.sm == sms
        assert client.until_full() == gib


def test_defaults_are_for_the_next_server(mps):
    daemon = mps(H200, env={"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"})
    assert daemon.do("get_default_active_thread_percentage").strip() == "50.0"
    daemon.start()
    daemon.do("set_default_device_pinned_mem_limit 0 2G")
    daemon.do("set_default_active_thread_percentage 10")
    first = daemon.client()
    assert first.sm == 66
    assert first.until_full(most=10) == 10
    first.end()
    os.kill(daemon.server(), 15)
    await_("the server's end", lambda: not daemon.server())
    second = daemon.client()
    assert second.sm == 12
    assert second.until_full() == 1.75


def test_a_number_and_a_uuid_are_two_entries_and_the_last_one_set_counts(mps):
    daemon = mps(H200)
    server = daemon.start()
    for name, memory, gib in (("0", "4G", 3.25), (daemon.uuid, "2G", 1.25), ("0", "3G", 2.25)):
        daemon.do(f"set_device_pinned_mem_limit {server} {name} {memory}")
        assert daemon.client().until_full() == gib
    daemon.do(f"set_device_pinned_mem_limit {server} 7 1G")
    assert daemon.client().until_full() == 2.25, "another device's"


def test_devices_count_anew_under_a_daemon_that_has_one(mps, machine):
    on = machine(H200)
    uuid = on.show()["gpus"][3]["uuid"]
    daemon = mps(on, device=uuid)
    for names in ("0", uuid):
        client = daemon.client({"CUDA_VISIBLE_DEVICES": names})
        assert (client.error, client.devices) == (0, 1)
        assert client("uuid()") == uuid.removeprefix("GPU-").replace("-", "")
    for names in ("1", on.show()["gpus"][0]["uuid"]):
        assert daemon.client({"CUDA_VISIBLE_DEVICES": names}).error == cuda.NO_DEVICE
    assert daemon.client({"CUDA_VISIBLE_DEVICES": "0,0"}).error == cuda.INVALID_DEVICE


# --- the handshake, as it was recorded ---

HELL, CRED, CUFD = b"OUTBHELL\0", b"OUTBCRED\0", b"OUTBCUFD\0"


def call(pipe):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10)
    s.connect(str(pipe / "control"))
    return s


def introduce(s):
    """The client's part on the control socket: what it is given."""
    assert s.recv(64) == HELL
    s.send(CRED)  # the kernel adds who we are
    s.send(b"\2\0\0\0")
    word, fds, _, _ = socket.recv_fds(s, 64, 4)
    assert word == CUFD and len(fds) == 1
    return socket.socket(fileno=fds[0])


def meet(channel, context=0, device=0xFF):
    """The client's part on the passed socket: the pipes and the verdict."""
    pipes = []
    for _ in range(4):
        word, fds, _, _ = socket.recv_fds(channel, 64, 4)
        assert word == CUFD and len(fds) == 1
        pipes += fds
    assert channel.recv(64) == b"\0"
    for word in (CRED, struct.pack("<I", context), struct.pack("<I", device)):
        channel.send(word)
    return pipes, struct.unpack("<I", channel.recv(64))[0]


def test_a_client_is_given_a_socket_and_four_pipes(mps):
    daemon = mps(H200)
    server = daemon.start()
    with call(daemon.pipe) as s, introduce(s) as channel:
        assert channel.family == socket.AF_UNIX and channel.type == socket.SOCK_SEQPACKET
        peer = struct.unpack("iII", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert peer[0] == daemon.pid, "the daemon made the pair"
        pipes, verdict = meet(channel)
        assert verdict == 0
        assert all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in pipes)
        s.send(b"\0\0\0\0")
        assert s.recv(64) == b"", "the daemon closes"
        assert daemon.do(f"get_client_list {server}") == f"{os.getpid()}\n"
    await_("it is gone", lambda: daemon.do(f"get_client_list {server}") == "")
    for fd in pipes:
        os.close(fd)
    assert f"NEW CLIENT {os.getpid()} from user {os.getuid()}: Server already exists" in \
        daemon.log("control")


def test_limits_are_settled_before_another_command_is_answered(mps):
    """A client that stalls between its descriptor and its words has the limits of before."""
    daemon = mps(H200)
    server = daemon.start("3G", 20)
    with call(daemon.pipe) as s, introduce(s) as channel:
        with ThreadPoolExecutor() as pool:
            later = pool.submit(daemon.limit, server, "8G", 60)
            assert not wait([later], timeout=0.2).done
            pipes, _ = meet(channel)
            s.send(b"\0\0\0\0")
            later.result(10)
        welcome = os.read(pipes[0], 4096)
        for fd in pipes:
            os.close(fd)
    assert struct.unpack_from("<IQ", welcome, 28) == (200, 3 << 30), "20.0 %, 3 GiB"


def test_a_command_line_is_answered_in_frames(mps):
    daemon = mps(H200)
    with call(daemon.pipe) as s:
        assert s.recv(64) == HELL
        s.send(CRED)
        s.send(b"\4\0\0\0")
        for text in (b"get_server_list\n\0", b"get_default_active_thread_percentage\n\0"):
            s.send(struct.pack("<Q", len(text)))
            s.send(text)
        s.send(struct.pack("<Q", 0))
        assert s.recv(64) == bytes(4) + b"100.0"
        assert s.recv(64) == b"\1\0\0\0\0\0\0\0"
        assert s.recv(64) == b""


@pytest.mark.parametrize("said", [[], [CRED], [b"OUTBCREX\0"], [CRED, b"\5\0\0\0"], [CRED, b"\2\0"]])
def test_whoever_stalls_in_the_handshake_holds_up_all_others(mps, said):
    daemon = mps(H200)
    with call(daemon.pipe) as s:
        assert s.recv(64) == HELL
        for words in said:
            s.send(words)
        other = daemon.client(wait=False)
        assert not other.join(timeout=0.2)
    other.join()
    assert (other.error, other("compute()")) == (0, 0)


def test_who_goes_without_a_hello_to_the_server_leaves_it_deaf(mps):
    daemon = mps(H200)
    server = daemon.start()
    before = daemon.client()
    with call(daemon.pipe) as s:
        channel = introduce(s)
        s.send(b"\0\0\0\0")
    assert int(daemon.do("get_server_list")) == server, "the daemon itself is well"
    channel.close()
    await_("the server says so", lambda: "User did not send valid credentials" in daemon.log())
    new = daemon.client(wait=False)
    assert not new.join(timeout=0.3)
    assert before("compute()") == 0, "who was there goes on"
    daemon.kill()
    assert alive(server), "it outlives even its daemon"
    os.kill(server, 9)
    new.join()
    assert new.error == cuda.CONNECTION_FAILED


def test_anybody_may_end_the_server_by_a_word(mps):
    """A debugger's: it shuts the server down as `quit` does, but not the daemon."""
    daemon = mps(H200)
    server = daemon.start()
    with call(daemon.pipe) as s:
        s.recv(64)
        s.send(CRED)
        s.send(b"\3\0\0\0")
        assert s.recv(64) == b""
    assert f"NEW DEBUGGEE {os.getpid()} from user 0" in daemon.log("control")
    await_("its end", lambda: not alive(server))
    assert daemon.do("get_server_list") == "" and alive(daemon.pid)


def test_a_client_makes_three_connections_and_needs_the_socket_alone(mps, tmp_path):
    daemon = mps(H200)
    daemon.start("3G", 20)
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate/control").symlink_to(daemon.pipe / "control")
    before = daemon.log("control").count("Accepting connection")
    client = daemon.client({"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path / "gate")})
    assert (client.error, client.sm) == (0, 26)
    log = daemon.log("control")
    assert log.count("Accepting connection") == before + 3
    assert log.count("User did not send valid credentials") == 1
    assert log.count(f"NEW CLIENT {client.pid}") == 2
    assert sorted(os.listdir(daemon.pipe)) == [
        "control", "control_lock", "control_privileged", "log", "nvidia-cuda-mps-control.pid"]


def nobody(path):
    pass


def a_plain_file(path):
    path.write_text("")


def a_refused_connection(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(path))
    s.close()


def a_stream_socket(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(str(path))
    s.listen()
    return s


def one_that_closes_at_once(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(str(path))
    s.listen()
    threading.Thread(target=lambda: s.accept()[0].close(), daemon=True).start()
    return s


@pytest.mark.parametrize("there", [nobody, a_plain_file, a_refused_connection, a_stream_socket,
                                   one_that_closes_at_once])
def test_without_a_greeting_there_is_no_mps_and_no_word_of_it(machine, program, tmp_path, there):
    socket_kept_open = there(tmp_path / "control")
    client = program(machine(H200), CUDA_MPS_PIPE_DIRECTORY=str(tmp_path))
    assert (client.error, client.sm) == (0, 132)
    if socket_kept_open:
        socket_kept_open.close()


# --- what the commands answer ---

TEXTS = [
    ("get_server_status 999999", "Server 999999 not found\n"),
    ("get_server_status x", "A server PID is required\n"),
    ("get_server_status SERVER", "ACTIVE\n"),
    ("ps -p 747", "Server 747 not found\nServer 747 not found\n\n"),
    ("get_client_list SERVER", "CLIENT\n"),
    ("get_device_client_list", "[0] BUS:00.0, NVIDIA H200\nCLIENT.1\n"),
    ("set_default_active_thread_percentage 40", "40.0\n"),
    ("set_default_active_thread_percentage 101", "40.0\n"),
    ("set_active_thread_percentage SERVER 33.3", "33.3\n"),
    ("set_active_thread_percentage SERVER 0", "33.3\n"),
    ("set_active_thread_percentage SERVER 1", "1.0\n"),
    ("set_active_thread_percentage SERVER x", "1.0\n"),
    ("set_active_thread_percentage SERVER", "1.0\n"),
    ("set_active_thread_percentage 999999 50", "Server 999999 not found\n"),
    ("get_default_device_pinned_mem_limit 0", ""),
    ("set_default_device_pinned_mem_limit 0 2G", ""),
    ("get_default_device_pinned_mem_limit 0", "2G\n"),
    ("get_device_pinned_mem_limit SERVER 0", ""),
    ("set_device_pinned_mem_limit SERVER 0 1500M", ""),
    ("get_device_pinned_mem_limit SERVER UUID", "1G\n"),
    ("set_device_pinned_mem_limit SERVER UUID 5G", ""),
    ("get_device_pinned_mem_limit SERVER 0", "5G\n"),
    ("set_device_pinned_mem_limit SERVER 0 1.5G", ""),
    ("get_device_pinned_mem_limit SERVER 0", "1M\n"),
    ("set_device_pinned_mem_limit SERVER 0 bogus", ""),
    ("get_device_pinned_mem_limit SERVER 0", ""),
    ("set_device_pinned_mem_limit SERVER GPU-00000000-0000-0000-0000-000000000000 4G", ""),
    ("set_default_client_priority 1", ""),
    ("get_default_client_priority", "1\n"),
    ("start_server", "A user id (UID) is required to start a new server\n"),
    ("lspart", 'Unknown command "lspart"\n'),
    ("terminate_client SERVER 999999", "Invalid process 999999!\n1\n"),
    ("terminate_client 999999 747", "Server 999999 not found\nServer 999999 not found!\n1\n"),
    ("terminate_client SERVER", "Invalid process 0!\n1\n"),
    ("terminate_client SERVER CLIENT", "0\n"),
    ("get_client_list SERVER", "CLIENT\n"),  # as long as it lives
]


def test_what_the_commands_answer(mps):
    daemon = mps(H200)
    assert (daemon.do("get_server_list"), daemon.do("ps")) == ("", "Server not found\n")
    server = daemon.start()
    client = daemon.client()
    bus = daemon.machine.show()["gpus"][0]["bus"].split(":")[1]
    for command, text in TEXTS:
        for name, value in (("SERVER", server), ("CLIENT", client.pid), ("UUID", daemon.uuid),
                            ("BUS", bus)):
            command, text = command.replace(name, str(value)), text.replace(name, str(value))
        assert daemon.do(command) == text, command
    assert daemon.do("bogus\nget_server_list\n") == f'Unknown command "bogus"\n{server}\n'
    log = daemon.log()
    assert "Device pinned memory limit for device 0 set to 0x5dc00000 bytes" in log
    assert "Device with matching device ID: GPU-00000000-0000-0000-0000-000000000000 not found." in log
    assert "Invalid percentage, expected between (0.0, 100.0]" in log


def test_ps(mps):
    daemon = mps(H200)
    server = daemon.start()
    client = daemon.client()
    heading, row = daemon.do("ps").splitlines()
    assert heading == ("PID       ID        SERVER         DEVICE                    NAMESPACE      "
                       "COMMAND        ")
    space = os.stat(f"/proc/{client.pid}/ns/pid").st_ino
    assert row.split() == [str(client.pid), "1", str(server), daemon.uuid[:22], str(space),
                           sys.executable]
    assert [row.index(daemon.uuid[:22]), row.index(str(space))] == [35, 61]


def test_quit(mps):
    daemon = mps(H200)
    server = daemon.start()
    client = daemon.client()
    quits = subprocess.Popen([daemon.program], env=daemon.env, stdin=subprocess.PIPE)
    quits.stdin.write(b"quit\n")
    quits.stdin.close()
    await_("the server knows", lambda: "Waiting for current clients to finish" in daemon.log())
    assert client("compute()") == 0
    client.end()
    assert quits.wait(10) == 0
    await_("both are gone", lambda: not alive(daemon.pid) and not alive(server))
    assert sorted(os.listdir(daemon.pipe)) == ["control", "control_lock", "control_privileged"]
    assert daemon.log("control").splitlines()[-1].endswith("Exit with status 0")


def test_in_the_foreground_all_is_said_on_standard_output(mps):
    daemon = mps(H200)
    env = dict(daemon.env, CUDA_MPS_PIPE_DIRECTORY=f"{daemon.folder}/other",
               CUDA_MPS_LOG_DIRECTORY=f"{daemon.folder}/none")
    second = subprocess.Popen([daemon.program, "-f"], env=env, stdout=subprocess.PIPE, text=True)
    assert "Starting control daemon using socket" in second.stdout.readline()
    pid = pathlib.Path(f"{daemon.folder}/other/nvidia-cuda-mps-control.pid")
    await_("its pid", lambda: pid.exists() and pid.read_text() == str(second.pid))
    second.terminate()
    assert second.wait(10) == 0
    second.stdout.close()
    assert not os.path.exists(f"{daemon.folder}/none")


@root
def test_another_user_may_ask_and_change_nothing(shared, mps):
    daemon = mps(shared)
    server = daemon.start()

    def as_other(command):
        return subprocess.run([daemon.program], input=command + "\n", env=daemon.env, text=True,
                              capture_output=True, **as_user(1234)).stdout

    assert as_other("get_server_list") == f"{server}\n"
    for command in (f"set_active_thread_percentage {server} 77", "set_default_active_thread_percentage 7",
                    f"set_device_pinned_mem_limit {server} 0 77G"):
        assert as_other(command).startswith("Insufficient privileges for UID 1234. Control deamon")
    assert as_other("quit") == "Not enough privilege to execute quit command\n"
    assert daemon.do(f"get_active_thread_percentage {server}") == "100.0\n"
    assert alive(daemon.pid)


# --- who is let in ---

def as_user(uid):
    return {"user": uid, "group": uid, "extra_groups": []}


@root
def test_a_second_user_waits_for_the_last_client_of_the_first(shared, mps):
    daemon = mps(shared)
    first = [daemon.client(**as_user(1001)), daemon.client(**as_user(1001))]
    other = daemon.client(wait=False, **as_user(1002))
    first[0].end()
    assert not other.join(timeout=0.5)
    server = daemon.server()
    first[1].end()
    other.join()
    assert other.error == 0 and other("compute()") == 0
    assert daemon.server() != server
    assert os.stat(f"/proc/{daemon.server()}").st_uid == 1002


@root
def test_a_multiuser_server_has_three_users_at_once_each_with_its_share(shared, mps):
    daemon = mps(shared, "-multiuser-server")
    server = daemon.start()
    clients = []
    for uid, memory, percent in ((1001, "3G", 20), (1002, "6G", 40), (1003, "10G", 70)):
        daemon.limit(server, memory, percent)
        clients.append(daemon.client(**as_user(uid)))
    assert [c.sm for c in clients] == [26, 52, 92]
    assert [c.until_full() for c in clients] == [2.75, 5.75, 9.5]
    assert daemon.server() == server
    assert [int(p) for p in daemon.do(f"get_client_list {server}").split()] == [c.pid for c in clients]


def test_62_clients(mps):
    daemon = mps(H200)
    clients = [daemon.client(wait=False) for _ in range(62)]
    for client in clients:
        client.join()
    errors = [c.error for c in clients]
    assert errors.count(0) == 48
    assert errors.count(cuda.MAX_CLIENTS) == 14, "at the context; cuInit is fine"
    assert "Failed to accept new client. Maximum number of clients (48) reached." in daemon.log()
    next(c for c in clients if c.error == 0).end()
    assert daemon.client().error == 0


def test_the_next_drivers_take_60_and_a_slice_takes_its_part(mps, machine, driver):
    on = machine(H200, "--driver", "590.44.01")
    daemon = mps(on)
    errors = [daemon.client(wait=False) for _ in range(62)]
    for client in errors:
        client.join()
    assert [c.error for c in errors].count(0) == 60
    sliced, one, _ = slices(driver)
    small = mps(sliced, device=one)  # 3 of 7
    clients = [small.client(wait=False) for _ in range(22)]
    for client in clients:
        client.join()
    assert [c.error for c in clients].count(0) == 48 * 3 // 7


def test_static_partitions_are_no_option_of_this_driver(mps):
    daemon = mps(H200)
    assert daemon.run("-d", "-S").returncode != 0
    assert daemon.run("-d").returncode != 0, "there is one already"
    assert alive(daemon.pid)


# --- ends and faults ---

def test_terminate_client(mps):
    daemon = mps(H200)
    server = daemon.start()
    one, other = daemon.client(), daemon.client()
    one.ask("spin(30)")
    began = time.monotonic()
    daemon.do(f"terminate_client {server} {one.pid}")
    assert one.answer() == cuda.TERMINATED
    assert time.monotonic() - began < 2
    assert one("mem(1)") == cuda.TERMINATED
    assert one.pid not in pids(daemon.machine), "its memory is free while it still lives"
    assert other("compute()") == 0
    assert daemon.client()("compute()") == 0


def test_kill_9_of_the_daemon_takes_the_server_and_the_clients(mps):
    daemon = mps(H200)
    server = daemon.start("8G", 50)
    client = daemon.client()
    client.ask("spin(30)")
    daemon.kill()
    assert client.answer() == cuda.RPC_FAILURE
    await_("the server's end", lambda: not alive(server))
    silent = daemon.client()
    assert (silent.error, silent.sm) == (0, 132), "no MPS, no limit, no word"
    assert silent.until_full(most=40) == NO_LIMIT


def test_a_fault_is_everybodys(mps, driver):
    machine, nvml = driver(H200)
    daemon = mps(machine)
    server = daemon.start()
    others = [daemon.client() for _ in range(3)]
    culprit = daemon.client()
    for client in others:
        client.ask("spin(30)")
    events = xids(nvml)
    assert culprit("fault()") == cuda.ILLEGAL_ADDRESS
    assert [c.answer() for c in others] == [cuda.ILLEGAL_ADDRESS] * 3
    assert events(1000) == 31
    assert daemon.status(server) == "FAULT"
    log = daemon.log().splitlines()
    named = [line for line in log if "encountered a fatal GPU error" in line]
    assert len(named) == 1 and f"PID: {culprit.pid}," not in named[0], "an innocent one is named"
    for client in [*others, culprit]:
        assert any(f"{{PID: {client.pid}, Context ID: 1}} on device 0 to be torn down" in line
                   for line in log)
        client.end()
    await_("the server is back", lambda: daemon.status(server) == "ACTIVE")
    log = daemon.log().splitlines()
    for client in [*others, culprit]:
        assert any(f"PID: {client.pid}" in line and "status 806" in line for line in log)


def test_after_a_fault_newcomers_are_refused_before_the_last_victim_has_gone(mps):
    daemon = mps(H200)
    server = daemon.start()
    lingers, culprit = daemon.client(), daemon.client()
    culprit("fault()")
    culprit.end()
    assert daemon.client().error == cuda.NOT_READY
    assert "Server teardown in progress. Refusing to accept new client" in daemon.log()
    assert daemon.status(server) == "FAULT"
    lingers.end()
    await_("the server is back", lambda: daemon.status(server) == "ACTIVE")
    new = daemon.client()
    assert new.error == 0 and new("compute()") == 0
    assert daemon.server() == server


def test_terminate_client_after_a_fault_waits_for_its_end(mps):
    daemon = mps(H200)
    server = daemon.start()
    lingers, culprit = daemon.client(), daemon.client()
    culprit("fault()")
    culprit.end()
    asks = subprocess.Popen([daemon.program], env=daemon.env, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    asks.stdin.write(f"terminate_client {server} {lingers.pid}\n".encode())
    asks.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        asks.wait(0.3)
    lingers.end()
    assert asks.stdout.read() == b"0\n"
    asks.wait()
    asks.stdout.close()
    assert daemon.status(server) == "ACTIVE"


def test_a_server_killed_is_replaced_by_one_without_limits(mps):
    daemon = mps(H200)
    server = daemon.start("8G", 50)
    client = daemon.client()
    client.ask("spin(30)")
    os.kill(server, 9)
    assert client.answer() == cuda.RPC_FAILURE
    await_("it is off the list", lambda: daemon.do("get_server_list") == "")
    new = daemon.client()
    assert (new.error, new.sm) == (0, 132)
    assert daemon.server() not in (0, server)


def test_a_fault_without_mps_is_of_one_alone(program, driver):
    machine, nvml = driver(H200)
    one, other = program(machine), program(machine)
    events = xids(nvml)
    assert one("fault()") == cuda.ILLEGAL_ADDRESS
    assert events(1000) == 31
    assert one("mem(1)") == cuda.ILLEGAL_ADDRESS, "for good"
    assert other("compute()") == 0


def test_faults_by_kerf_sim_mps(mps):
    daemon = mps(H200)
    server = daemon.start()
    client = daemon.client()
    daemon.machine.do("mps", "fault", 0)
    await_("the fault", lambda: client("sync()") == cuda.ILLEGAL_ADDRESS)
    client.end()
    await_("the server is back", lambda: daemon.status(server) == "ACTIVE")
    daemon.machine.do("mps", "hang", 0)
    waits = daemon.client(wait=False)
    assert not waits.join(timeout=0.3)
    daemon.machine.do("mps", "hang", 0, "--back")
    waits.join()
    assert waits.error == 0
    daemon.machine.do("mps", "clients", 1)
    assert daemon.client().error == cuda.MAX_CLIENTS
    daemon.machine.do("process", "load", "--pid", waits.pid, "--sm", 40)
    shown = daemon.machine.show()["gpus"][0]["processes"]
    assert [p["sm"] for p in shown if p["pid"] == waits.pid] == [40]
    assert "has no MPS server" in daemon.machine.do("mps", "fault", 1, check=False).stderr


def test_a_server_that_hangs_holds_up_command_lines_and_mixes_no_answers(mps):
    daemon = mps(H200)
    server = daemon.start()
    daemon.machine.do("mps", "hang", 0)
    ask = [daemon.program]
    lost = subprocess.Popen(ask, env=daemon.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lost.stdin.write(f"get_server_status {server}\n".encode())
    lost.stdin.close()
    await_("it waits", lambda: "get_server_status" in daemon.log("control").splitlines()[-1])
    lost.kill()
    lost.wait()
    next_ = subprocess.Popen(ask, env=daemon.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    next_.stdin.write(f"get_active_thread_percentage {server}\n".encode())
    next_.stdin.close()
    waits = daemon.client(wait=False)
    assert not waits.join(timeout=0.3), "the daemon serves one after the other"
    daemon.machine.do("mps", "hang", 0, "--back")
    waits.join()
    assert waits.error == 0
    assert next_.stdout.read().strip() == b"100.0"
    next_.wait()
    assert daemon.status(server) == "ACTIVE"


# --- what NVML says of sharers ---

def pids(machine, gpu=0):
    return {p["pid"] for p in machine.show()["gpus"][gpu]["processes"]}


def memory(processes):
    """MiB by pid."""
    return {p["pid"]: p["usedGpuMemory"] >> 20 for p in processes}


def samples(nvml, gpu):
    """SM utilisation by pid, as nvmlDeviceGetProcessUtilization has it."""
    Sample = N.struct("Sample", ("pid", ctypes.c_uint), ("at", ctypes.c_ulonglong),
                      *N.uints("sm mem enc dec"))
    found, n = (Sample * 64)(), ctypes.c_uint(64)
    nvml.call("DeviceGetProcessUtilization", gpu, found, ctypes.byref(n), ctypes.c_ulonglong(0))
    return {s.pid: s.sm for s in found[:n.value]}


def xids(nvml):
    """Watch GPU 0: a function that waits so many ms and answers the next XID, None for none."""
    events = ctypes.c_void_p()
    nvml.call("EventSetCreate", ctypes.byref(events))
    nvml.call("DeviceRegisterEvents", nvml.gpu(0), ctypes.c_ulonglong(8), events)

    def wait(ms):
        event = N.Event()
        code = nvml.try_("EventSetWait_v2", events, ctypes.byref(event), ms)
        return event.data if code == N.SUCCESS else None

    return wait


def test_what_nvml_says_of_sharers(mps, driver):
    machine, nvml = driver(H100)
    daemon = mps(machine)
    server = daemon.start()
    clients = []
    for percent in (25, 50):
        daemon.limit(server, percent=percent)
        clients.append(daemon.client())
    for client in clients:
        client.ask("spin(30)")
    gpu = nvml.gpu(0)
    await_("both work", lambda: nvml.get("DeviceGetUtilizationRates", gpu, N.Utilization).gpu == 100)
    compute = memory(nvml.processes(gpu))
    assert compute == {server: 66, clients[0].pid: 144, clients[1].pid: 274}
    assert set(memory(nvml.processes(gpu, "MPSCompute"))) == {c.pid for c in clients}
    assert samples(nvml, gpu) == {server: 100}, "NVML cannot split MPS clients"
    shown = {p["pid"]: p["sm"] for p in machine.show()["gpus"][0]["processes"]}
    assert [shown[c.pid] for c in clients] == [24, 50], "32 and 66 of 132 SMs"


def test_without_mps_two_programs_have_518_mib_each(program, driver):
    machine, nvml = driver(H100)
    clients = [program(machine) for _ in range(2)]
    assert list(memory(nvml.processes(nvml.gpu(0))).values()) == [518, 518]
    assert nvml.processes(nvml.gpu(0), "MPSCompute") == []
    for client in clients:
        client.end()
    assert nvml.processes(nvml.gpu(0)) == []


# --- compute modes ---

def test_exclusive_process_keeps_out_who_misses_mps(mps, driver):
    machine, nvml = driver(H200)
    daemon = mps(machine)
    nvml.call("DeviceSetComputeMode", nvml.gpu(0), 3)
    daemon.start()
    assert daemon.client().error == 0
    stray = daemon.client({"CUDA_MPS_PIPE_DIRECTORY": "/nonexistent"})
    assert stray.error == cuda.UNAVAILABLE
    nvml.call("DeviceSetComputeMode", nvml.gpu(0), 0)
    assert daemon.client({"CUDA_MPS_PIPE_DIRECTORY": "/nonexistent"}).error == 0


def test_with_mig_on_the_compute_mode_is_the_default(driver):
    _, nvml = driver(H100)
    gpu = nvml.gpu(0)
    nvml.call("DeviceSetComputeMode", gpu, 3)
    assert nvml.set_mig(gpu, 1) == N.SUCCESS
    assert nvml.get("DeviceGetComputeMode", gpu) == 0
    assert nvml.try_("DeviceSetComputeMode", gpu, 3) == N.NOT_SUPPORTED
    assert nvml.set_mig(gpu, 0) == N.SUCCESS
    assert nvml.get("DeviceGetComputeMode", gpu) == 0


# --- MPS inside MIG ---

def slices(driver):
    """A machine with two 3g slices on GPU 0: (machine, uuid, uuid)."""
    machine, nvml = driver(H100)
    gpu = nvml.gpu(0)
    assert nvml.set_mig(gpu, 1) == N.SUCCESS
    for _ in range(2):
        nvml.create_ci(nvml.create(gpu, 9), 2)
    found = [c["uuid"] for g in machine.show()["gpus"][0]["instances"] for c in g["compute"]]
    return machine, *found


def test_a_daemon_per_slice(mps, driver):
    machine, *uuids = slices(driver)
    daemons = [mps(machine, device=uuid) for uuid in uuids]
    servers = [daemon.start() for daemon in daemons]
    daemons[0].limit(servers[0], "8G", 50)
    clients = [daemon.client() for daemon in daemons]
    assert [c.error for c in clients] == [0, 0]
    assert [c.sm for c in clients] == [30, 60]
    assert [c.until_full(most=20) for c in clients] == [7.75, 20]
    assert clients[0]("info()")[2] == 40448
    assert [c("uuid()") for c in clients] == [u.removeprefix("MIG-").replace("-", "") for u in uuids]
    assert clients[0]("fault()") == cuda.ILLEGAL_ADDRESS
    assert clients[1]("compute()") == 0, "MIG contains it"
    assert [d.status(s) for d, s in zip(daemons, servers)] == ["FAULT", "ACTIVE"]


# --- programs and where they run ---

def test_a_child_has_nothing_of_cuda_and_keeps_nothing_alive(mps):
    daemon = mps(H200)
    server = daemon.start()
    client = daemon.client()
    assert client("fork()") == cuda.NOT_INITIALIZED
    assert client("compute()") == 0
    assert client.pid in pids(daemon.machine)
    client.end()
    await_("it is gone", lambda: daemon.do(f"get_client_list {server}") == "")
    assert client.pid not in pids(daemon.machine)


def test_the_probe_for_gpus_runs_unmodified(machine, tmp_path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    subprocess.run([compiler, "-O1", "-o", tmp_path / "probe", PROBE, "-ldl"], check=True)
    on = machine(H100)
    done = subprocess.run([tmp_path / "probe"], env=dict(on.env(), CUDA_VISIBLE_DEVICES="3,5"),
                          input="", text=True, stdout=subprocess.PIPE, check=True)
    uuids = [on.show()["gpus"][i]["uuid"] for i in (3, 5)]
    lines = done.stdout.splitlines()
    assert lines[1:] == [f"gpu {u} NVIDIA H100 80GB HBM3" for u in uuids] + ["ready"]
    assert lines[0].startswith(f"libcuda {on.dir}/root/usr/lib/")


@pytest.mark.parametrize("path", ["alloc", "pitch", "async", "pool", "vmm", "array", "mipmap"])
def test_the_client_for_gpus_measures_here_what_it_measured_on_an_h100(mps, tmp_path, path):
    """docs/measured.md: 4 GiB and 50 % leave 3825 MiB free; each way takes 3584 of it in 256 steps."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    source = PROBE.parent / "client.c"
    subprocess.run([compiler, "-O1", "-o", tmp_path / "client", source, "-ldl"], check=True)
    daemon = mps(H100)
    daemon.start("4G", 50)
    done = subprocess.run([tmp_path / "client", *f"init sm ctx mem take:{path}:256:40960 kernel".split()],
                          env=daemon.env, text=True, stdout=subprocess.PIPE, check=True)
    said = [line.split(" ", 2)[2] for line in done.stdout.splitlines()]
    assert said[1:7] == ["init code 0", "sm 66 code 0", "ctx code 0",
                         "mem free 3825 total 81079 MiB code 0", f"take {path} 3584 MiB code 2",
                         "kernel code 0 computed"]


@root
def test_a_container_sees_the_gpus_that_it_has_nodes_of_and_nvml_its_pid(driver, tmp_path):
    """A pid and a mount namespace of its own: /dev with one GPU's node, the machine in /run."""
    machine, nvml = driver(H100)
    script = tmp_path / "container"
    script.write_text(f"""
set -e
mount -t tmpfs none /run
mkdir /run/kerf-sim
mount --bind {machine.dir} /run/kerf-sim
mount -t tmpfs none /dev
touch /dev/nvidia5
echo $$ > {tmp_path}/inside
exec "$@"
""")
    env = {k: v for k, v in os.environ.items() if k != "KERF_SIM_DIR"}
    library = tmp_path / "libcuda.so.1"
    shutil.copy(machine.library.parent / "libcuda.so.1", library)
    process = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", script, sys.executable,
         cuda.__file__, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert '"error": 0, "sm": 132, "devices": 1' in process.stdout.readline()
    own = list(memory(nvml.processes(nvml.gpu(5))))
    assert (tmp_path / "inside").read_text().strip() == "1"
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert own == [int(children[0])], "as the host counts them"
    process.kill()
    process.wait()
    await_("it is gone", lambda: nvml.processes(nvml.gpu(5)) == [])
