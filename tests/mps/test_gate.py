"""Slices of one MPS server, each behind a gate: what clients get, and what they cannot get."""
import os
import signal
import socket
import struct
import time

from conftest import GIB, wait_until

FULL = 2  # CUDA_ERROR_OUT_OF_MEMORY
CREDENTIALS, CLIENT, COMMAND = b"OUTBCRED\0", struct.pack("<I", 2), struct.pack("<I", 4)


def knock(folder):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10)
    s.connect(folder + "/control")
    return s


def test_any_mix_of_sizes_holds_on_one_server_without_a_word_in_the_clients_environment(keeper):
    keeper.want()
    want = {"a": (4, 10), "b": (10, 25), "c": (20, 50)}
    folders = {n: keeper.slice(n, gib, percent) for n, (gib, percent) in want.items()}
    clients = {n: keeper.client(f) for n, f in folders.items()}
    for name, (gib, percent) in want.items():
        one = clients[name]
        assert one.error == 0
        assert one.sm == 108 * percent // 100 // 2 * 2, (name, one.sm)
        assert gib - 0.6 < one.until_full() < gib, name
    assert len({os.path.dirname(f) for f in folders.values()}) == 1
    assert all(os.listdir(f) == ["control"] for f in folders.values())
    rows = {s["name"]: s for s in keeper.ask("status")["slices"]}
    assert [c["pid"] for c in rows["a"]["clients"]] == [clients["a"].pid]


def test_clients_that_come_at_once_get_each_their_own(keeper):
    keeper.want()
    folders = {n: keeper.slice(f"s{n}", 1 + n, 10 * (n + 1)) for n in range(6)}
    clients = {n: keeper.client(f, wait=False) for n, f in folders.items()}
    for n, one in clients.items():
        one.join()
        assert one.error == 0 and one.sm == 108 * 10 * (n + 1) // 100 // 2 * 2
        assert n + 0.4 < one.until_full(step=128) < n + 1


def test_a_slice_bounds_all_its_processes_together(keeper):
    keeper.want()
    folder = keeper.slice("shared", 4)
    first = keeper.client(folder)
    assert first(f"mem({2 * 1024})") == 0
    second = keeper.client(folder)
    got = second.until_full()
    assert 0.9 < got < 2, got
    third = keeper.client(folder)
    assert third.error == FULL, "a slice that is full has nothing for another"
    second.end()
    wait_until(lambda: len(keeper.ask("status")["slices"][0]["clients"]) <= 2, keeper.log)
    assert keeper.client(folder).error == 0


def test_ten_workers_of_one_slice_stay_within_it(keeper):
    keeper.want()
    folder = keeper.slice("workers", 8)
    took = 0
    for _ in range(10):
        one = keeper.client(folder)
        took += one.until_full(most=1) if one.error == 0 else 0
    assert 4 < took < 8, "contexts count as well"


def test_a_client_that_stalls_keeps_nobody_waiting(keeper):
    keeper.want()
    slow, fast = keeper.slice("slow", 2, 10), keeper.slice("fast", 6, 50)
    stalled = []
    for upto in (b"", CREDENTIALS):
        s = knock(slow)
        assert s.recv(64) == b"OUTBHELL\0"
        if upto:
            s.send(upto)
        stalled.append(s)
    began = time.monotonic()
    one = keeper.client(fast)
    assert one.error == 0 and one.sm == 54 and 5 < one.until_full() < 6
    print(f"beside two that stall: {time.monotonic() - began:.3f} s")
    for s in stalled:
        s.close()


def test_only_what_a_client_says_is_heard(keeper):
    keeper.want()
    folder = keeper.slice("a", 2)
    for words in ((b"junk",), (CREDENTIALS, COMMAND), (CREDENTIALS, CREDENTIALS), (b"x" * 4096,),
                  (CREDENTIALS + b"more",), (CREDENTIALS, struct.pack("<I", 1))):
        s = knock(folder)
        assert s.recv(64) == b"OUTBHELL\0"
        for word in words:
            s.send(word)
        assert s.recv(64) == b"", words
        s.close()
    s = knock(folder)
    s.recv(64)
    socket.send_fds(s, [CREDENTIALS], [0])  # a descriptor where none belongs
    assert s.recv(64) == b""
    assert keeper.client(folder).error == 0


def test_many_connections_of_one_slice_do_not_starve_another(keeper):
    keeper.want()
    crowd, other = keeper.slice("crowd", 2), keeper.slice("other", 2)
    sockets = [knock(crowd) for _ in range(200)]
    assert keeper.client(other).error == 0
    for s in sockets:
        s.close()
    assert keeper.client(crowd).error == 0


def test_a_daemon_that_is_killed_comes_back_and_clients_wait_at_the_gate(keeper):
    keeper.want()
    folder = keeper.slice("a", 4, 20)
    first = keeper.ask("status")["daemon"]
    os.kill(first, signal.SIGKILL)
    late = keeper.client(folder)  # right away: the gate holds it until there is a daemon again
    assert late.error == 0 and late.sm == 20 and 3 < late.until_full() < 4
    after = keeper.ask("status")
    assert after["daemon"] != first and after["starts"] == 2
    assert any(what == "daemon" for what, _, _ in keeper.events())


def test_a_holder_that_is_killed_is_followed_by_one_that_adopts(keeper):
    keeper.want()
    folder = keeper.slice("a", 4, 20)
    running = keeper.client(folder)
    before = keeper.ask("status")
    os.kill(keeper.holder(), signal.SIGKILL)
    wait_until(lambda: keeper.is_ready(keeper.uuid), keeper.log)
    after = keeper.ask("status")
    assert (after["daemon"], after["server"]) == (before["daemon"], before["server"])
    assert [s["folder"] for s in after["slices"]] == [s["folder"] for s in before["slices"]]
    assert running("mem(256)") == 0, "nothing happened to it"
    running.end()
    again = keeper.client(folder)
    assert again.error == 0 and again.sm == 20


def test_after_a_fault_every_slice_is_told_and_the_gpu_serves_again(keeper):
    keeper.want()
    folders = [keeper.slice(n, 4) for n in "ab"]
    victim, other = keeper.client(folders[0]), keeper.client(folders[1])
    began = time.monotonic()
    keeper.machine.sim("mps", "fault", 0)
    wait_until(lambda: any(w == "fault" for w, _, _ in keeper.events()), keeper.log)
    told = {s for w, s, _ in keeper.events() if w == "fault"}
    assert told == {"a", "b"}, "both linger, and both are told"
    wait_until(lambda: any(w == "recovered" for w, _, _ in keeper.events()), keeper.log)
    fresh = keeper.client(folders[0])
    assert fresh.error == 0
    print(f"fault to a client that computes: {time.monotonic() - began:.2f} s, with two that linger")
    assert victim.process.wait(10) and other.process.wait(10)


def test_a_server_that_hangs_is_replaced_within_seconds(keeper):
    keeper.want()
    folder = keeper.slice("a", 4, 20)
    before = keeper.ask("status")["daemon"]
    keeper.machine.sim("mps", "hang", 0)
    wait_until(lambda: any(what == "hang" for what, _, _ in keeper.events()), keeper.log)
    wait_until(lambda: keeper.is_ready(keeper.uuid) and keeper.ask("status")["daemon"] != before, keeper.log)
    assert keeper.client(folder).error == 0


def test_slices_come_and_go_and_leave_nothing(keeper):
    keeper.want()
    for i in range(200):
        keeper.slice(f"s{i % 7}", 1 + i % 3)
        if i % 2:
            assert keeper.ask("remove", name=f"s{i % 7}")["ok"]
    for s in keeper.ask("status")["slices"]:
        keeper.ask("remove", name=s["name"])
    assert os.listdir(keeper.dir / keeper.uuid / "gate") == []
    daemon = keeper.ask("status")["daemon"]
    (keeper.dir / "want" / keeper.uuid).unlink()
    assert keeper.ask("stop")["ok"]
    wait_until(lambda: not os.path.exists(f"/proc/{daemon}/exe"), keeper.log)
    wait_until(lambda: not (keeper.dir / keeper.uuid / "holder.sock").exists(), keeper.log)


def test_what_cannot_be_a_slice_is_refused_in_words(keeper):
    keeper.want()
    for bad in ({"name": "", "bytes": GIB}, {"name": "a", "bytes": 0}, {"name": "a"},
                {"name": "a", "bytes": GIB, "percent": 101}, {"bytes": GIB}):
        answer = keeper.ask("add", slice=bad)
        assert not answer["ok"] and "a slice has a name" in answer["error"]
    assert not keeper.ask("remove", name="nobody")["ok"]
    assert not keeper.ask("dance")["ok"]
