"""Peers that break the rules: they lose their stream or connection, and nobody else notices."""
import os
import random
import socket
import time

from conftest import wait_until
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE,
                  RST_STREAM, SETTINGS, WINDOW_UPDATE, field, frame, header, request)

LIST = "/v1beta1.DevicePlugin/ListAndWatch"
ALLOCATE = "/v1beta1.DevicePlugin/Allocate"
ROUNDS = int(os.environ.get("KERF_HOSTILE_ROUNDS", 400))


def dial(agent):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(agent.socket()))
    s.settimeout(10)
    return s


def hello():
    return PREFACE + frame(SETTINGS, 0, 0)


def read_some(s, seconds):
    """What comes within that time; b"" at the end of the connection."""
    s.settimeout(seconds)
    try:
        return s.recv(1 << 20)
    except (TimeoutError, ConnectionError):
        return b""


class Witness:
    """A well-behaved kubelet that watches the list all the time, and asks now and then."""

    def __init__(self, agent):
        self.s = dial(agent)
        self.s.sendall(hello() + request(1, LIST))
        self.seen = b""
        wait_until(lambda: b"Healthy" in self._more(), "the witness's list")
        self.next = 3

    def _more(self):
        self.seen += read_some(self.s, 0.5)
        return self.seen

    def still_served(self):
        self.seen = b""
        self.s.sendall(request(self.next, "/v1beta1.DevicePlugin/GetDevicePluginOptions"))
        self.next += 2
        wait_until(lambda: b"\0\0\0\0\2\x10\x01" in self._more(), "an answer to the witness")


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        what = rng.randrange(4)
        if what == 0:
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:at + rng.randrange(1, 20)]
        elif what == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
        else:
            data[at:at] = data[at:at + rng.randrange(1, 60)]
        if not data:
            return b"\0"
    return bytes(data)


def test_random_and_mutated_bytes(agent):
    witness = Witness(agent)
    rng = random.Random(3)
    sane = hello() + request(1, LIST) + request(3, ALLOCATE, field(1, field(1, "GPU-x"))) + \
        request(5, LIST) + frame(RST_STREAM, 0, 5, b"\0\0\0\x08") + frame(PING, 0, 0, b"12345678")
    for i in range(ROUNDS):
        with dial(agent) as s:
            try:
                kind = i % 4
                if kind == 0:
                    s.sendall(rng.randbytes(rng.randrange(1, 3000)))
                elif kind == 1:
                    s.sendall(hello() + rng.randbytes(rng.randrange(1, 3000)))
                elif kind == 2:
                    s.sendall(hello() + mutate(rng, sane[len(hello()):]))
                else:
                    s.sendall(mutate(rng, sane))
                if rng.random() < 0.3:
                    read_some(s, 0.01)
            except (BrokenPipeError, ConnectionResetError):
                pass  # closed while we wrote: as it should be
        if i % 100 == 99:
            witness.still_served()
    witness.still_served()
    print(f"{ROUNDS} hostile connections, the witness was served all along")


def expect_closed(agent, data):
    with dial(agent) as s:
        try:
            s.sendall(data)
            end = time.monotonic() + 20
            while read_some(s, 5):
                assert time.monotonic() < end
        except (BrokenPipeError, ConnectionResetError):
            pass


def test_what_breaks_http2_ends_the_connection(agent):
    witness = Witness(agent)
    endless = frame(HEADERS, 0, 1, header("x", "y" * 100)) + \
        b"".join(frame(CONTINUATION, 0, 1, header("x", "y" * 100)) for _ in range(500))
    for data in (b"GET / HTTP/1.1\r\n\r\n", hello() + frame(DATA, 0, 0, b"x"),
                 hello() + frame(HEADERS, END_HEADERS, 2, header(":path", "/")),
                 hello() + endless, hello() + frame(SETTINGS, 0, 0, b"\0"),
                 hello() + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
                 hello() + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
                 hello() + frame(GOAWAY, 0, 0, b"\0" * 8)):
        expect_closed(agent, data)
        witness.still_served()


def test_peers_that_do_not_read_are_bounded(agent):
    """Pings and requests without end, and nothing read: closed, or left waiting, but never kept."""
    witness = Witness(agent)
    before = agent.memory_kib()
    for flood in (frame(PING, 0, 0, b"12345678") * 1000, frame(SETTINGS, 0, 0) * 1000,
                  b"".join(request(i, "/none") for i in range(1, 1001, 2))):
        s = dial(agent)
        s.settimeout(0.5)
        try:
            s.sendall(hello())
            for _ in range(100):
                s.sendall(flood)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        witness.still_served()
        # AddressSanitizer keeps what is freed, so there the number says nothing.
        assert agent.sanitized or agent.memory_kib() - before < 4096
        s.close()
    witness.still_served()


def test_connections_and_streams_have_a_limit(agent):
    witness = Witness(agent)
    before = agent.descriptors()
    many = [dial(agent) for _ in range(60)]
    wait_until(lambda: sum(read_some(s, 0.02) == b"" for s in many) >= 40, "most are turned away")
    assert agent.descriptors() - before < 30
    for s in many:
        s.close()
    wait_until(lambda: agent.descriptors() <= before, "their descriptors are closed")
    with dial(agent) as s:  # many lists on one connection: four watch, the others are told why
        s.sendall(hello() + b"".join(request(i, LIST) for i in range(1, 41, 2)))
        got = []
        wait_until(lambda: got.append(read_some(s, 0.2)) or b"".join(got).count(b"Healthy") >= 3 * 8,
                   "three lists beside the witness's")
        assert b"".join(got).count(b"Healthy") == 3 * 8
    witness.still_served()


def test_a_slow_writer_holds_nobody_up(agent):
    witness = Witness(agent)
    with dial(agent) as s:
        for byte in hello() + request(1, LIST):
            s.sendall(bytes([byte]))
        witness.still_served()
        got = b""
        while b"Healthy" not in got:
            more = read_some(s, 10)
            assert more
            got += more
