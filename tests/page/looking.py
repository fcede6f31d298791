"""Those who look at a node: a listener to /live, and what it was told."""
import json
import socket
import threading
import time

from support import address

LISTENERS = 8


class Listener:
    """A connection to /live; `told` are the nodes that came, each with the time when it did."""

    def __init__(self, node, headers="", receive=None):
        host, port = address(node).rsplit(":", 1)
        self.told, self.head, self.ended = [], None, None
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.connect((host.strip("[]"), int(port)))
        self.socket.sendall(f"GET /live HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())

    def listen(self):
        """From now on, on a thread."""
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self):
        file = self.socket.makefile("rb")
        try:
            self.head = b"".join(iter(file.readline, b"\r\n")).decode()
            text = b""
            while True:  # chunks
                n = int(file.readline(), 16)
                text += file.read(n)
                file.readline()
                if n == 0:
                    break
                *whole, text = text.split(b"\n\n")
                for event in whole:
                    assert event.startswith(b"data: ") and b"\n" not in event
                    self.told.append((time.monotonic(), json.loads(event[6:])))
        except (OSError, ValueError):
            pass
        self.ended = time.monotonic()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def cut(told):
    """How each GPU is cut: [[(profile, start), ...], ...]."""
    return [[(s["profile"], s["start"]) for s in gpu["slices"]] for gpu in told["gpus"]]


def pods(told):
    """(GPU, slice's profile or None, pod) of every hold."""
    return {(gpu["index"], device.get("profile"), p["pod"]): p for gpu in told["gpus"]
            for device in [gpu, *gpu["slices"]] for p in device["pods"]}
