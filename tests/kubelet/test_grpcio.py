"""Google's own gRPC as the other side: as the kubelet of our plugin, and as a plugin of the stand-in.

It shares nothing with our code, down to HTTP/2 and the messages (wire.py writes them by hand).
"""
import json
import queue
import subprocess
import threading
import time

import pytest

from conftest import GPU, PATIENCE_S, wait_until
from wire import field, fields

grpc = pytest.importorskip("grpc", reason="python3-grpcio is not installed")

PLUGIN = "/v1beta1.DevicePlugin/"


@pytest.fixture
def channel(agent):
    with grpc.insecure_channel(f"unix:{agent.socket()}", [("grpc.default_authority", "localhost")]) as c:
        yield c


def call(channel, method, message=b""):
    return channel.unary_unary(method)(message, timeout=PATIENCE_S)


def devices(message):
    """{id: health} of a ListAndWatchResponse."""
    listed = [fields(d) for d in fields(message).get(1, [])]
    return {d[1][0].decode(): d[2][0].decode() for d in listed}


def first_list(channel):
    stream = channel.unary_stream(PLUGIN + "ListAndWatch")(b"", timeout=PATIENCE_S)
    return stream, devices(next(stream))


def test_lists_allocates_and_prefers(channel):
    assert fields(call(channel, PLUGIN + "GetDevicePluginOptions")).get(2) == [1]
    stream, listed = first_list(channel)
    assert len(listed) == 8 and set(listed.values()) == {"Healthy"}
    ids = sorted(listed)
    wanted = b"".join(field(1, i) for i in ids) + field(2, ids[5]) + field(3, 3)
    answer = call(channel, PLUGIN + "GetPreferredAllocation", field(1, wanted))
    chosen = [i.decode() for i in fields(fields(answer)[1][0])[1]]
    assert len(chosen) == 3 == len(set(chosen)) and ids[5] in chosen and set(chosen) <= set(ids)
    answer = call(channel, PLUGIN + "Allocate", field(1, field(1, ids[0])))
    one = fields(fields(answer)[1][0])
    assert [fields(c)[1][0].decode().split("=")[1] for c in one[5]] == [ids[0]]
    assert call(channel, PLUGIN + "PreStartContainer", field(1, ids[0])) == b""
    stream.cancel()


def refused(channel, method, message=b""):
    with pytest.raises(grpc.RpcError) as error:
        call(channel, method, message)
    return error.value


def test_refusals_carry_code_and_sentence(channel):
    error = refused(channel, PLUGIN + "Allocate", field(1, field(1, "GPU-nobody")))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == f"kerf: {GPU} has no device GPU-nobody"
    error = refused(channel, PLUGIN + "Allocate", b"\xff\xff\xff")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    for path in (PLUGIN + "Nothing", "/other.Service/Allocate"):
        assert refused(channel, path).code() == grpc.StatusCode.UNIMPLEMENTED
    wanted = field(1, field(1, "GPU-a") + field(3, 2))
    assert refused(channel, PLUGIN + "GetPreferredAllocation", wanted).code() == \
        grpc.StatusCode.INVALID_ARGUMENT
    big = field(1, field(1, "x" * (5 << 20)))
    assert refused(channel, PLUGIN + "Allocate", big).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(first_list(channel)[1]) == 8


def test_many_calls_at_once_on_one_connection(channel):
    stream, listed = first_list(channel)
    ids = sorted(listed)
    method = channel.unary_unary(PLUGIN + "Allocate")
    calls = [method.future(field(1, field(1, ids[i % 8])), timeout=PATIENCE_S) for i in range(500)]
    answers = [fields(fields(c.result())[1][0])[5] for c in calls]
    assert [fields(a[0])[1][0].decode().split("=")[1] for a in answers] == \
        [ids[i % 8] for i in range(500)]
    stream.cancel()


def test_ends_its_streams_when_the_agent_stops(agent, channel):
    stream, _ = first_list(channel)
    agent.stop()
    with pytest.raises(grpc.RpcError) as error:
        next(stream)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert not list(agent.directory.glob("kerf-*.sock"))


class Plugin(grpc.GenericRpcHandler):
    """A device plugin in grpcio, of the kind that everybody writes."""

    def __init__(self, count):
        self.lists, self.allocated, self.options = queue.Queue(), [], 0
        self.lists.put(count)

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        if name == "ListAndWatch":
            return grpc.unary_stream_rpc_method_handler(self.list_and_watch)
        handler = {"GetDevicePluginOptions": self.get_options, "Allocate": self.allocate}.get(name)
        return handler and grpc.unary_unary_rpc_method_handler(handler)

    def get_options(self, message, context):
        self.options += 1
        return b""

    def list_and_watch(self, message, context):
        while (count := self.lists.get()) is not None:
            yield b"".join(field(1, field(1, f"d{i}") + field(2, "Healthy")) for i in range(count))

    def allocate(self, message, context):
        ids = [i.decode() for i in fields(fields(message)[1][0])[1]]
        self.allocated += ids
        if "d1" in ids:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not that one: 100 %")
        return field(1, field(1, field(1, "IDS") + field(2, ",".join(ids))))


class Standin:
    """kerf sim kubelet."""

    def __init__(self, kerf, directory):
        self.process = subprocess.Popen([kerf, "sim", "kubelet", directory], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if "event" not in message:
                self.answers.put(message)

    def ask(self, op, **more):
        self.process.stdin.write(json.dumps({"op": op, **more}) + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=PATIENCE_S)

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0


def test_the_stand_in_kubelet_takes_a_plugin_written_with_grpcio(kerf, folder):
    from concurrent import futures
    directory = folder / "device-plugins"
    standin = Standin(kerf, directory)
    wait_until((directory / "kubelet.sock").exists, "kubelet.sock")
    plugin = Plugin(3)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((plugin,))
    server.add_insecure_port(f"unix:{directory}/theirs.sock")
    server.start()
    with grpc.insecure_channel(f"unix:{directory}/kubelet.sock") as registry:
        register = "/v1beta1.Registration/Register"
        for bad in (field(1, "v9") + field(2, "theirs.sock") + field(3, "example.com/x"),
                    field(1, "v1beta1") + field(2, "theirs.sock") + field(3, "noslash"),
                    field(1, "v1beta1") + field(2, "absent.sock") + field(3, "example.com/x")):
            assert refused(registry, register, bad).code() == grpc.StatusCode.UNKNOWN
        good = field(1, "v1beta1") + field(2, "theirs.sock") + field(3, "example.com/x")
        assert call(registry, register, good) == b""
    assert plugin.options == 1
    wait_until(lambda: standin.ask("state")["resources"].get("example.com/x", {}).get("allocatable") == 3,
               "three devices")
    for pod in "ab":
        standin.ask("add", pod=pod, resources={"example.com/x": 1})
    wait_until(lambda: {p["phase"] for p in standin.ask("state")["pods"].values()} ==
               {"Running", "Failed"}, "one pod runs, one is refused")
    pods = standin.ask("state")["pods"]
    assert pods["a"]["answers"][0]["envs"] == {"IDS": "d0"}
    assert "not that one: 100 %" in pods["b"]["error"]
    with grpc.insecure_channel(f"unix:{folder}/pod-resources/kubelet.sock") as lister:
        listed = fields(call(lister, "/v1.PodResourcesLister/List"))[1]
        assert [fields(p)[1][0] for p in listed] == [b"a"]
        healthy = fields(call(lister, "/v1.PodResourcesLister/GetAllocatableResources"))[1]
        assert sorted(fields(d)[2][0] for d in healthy) == [b"d0", b"d1", b"d2"]
    plugin.lists.put(1)
    wait_until(lambda: standin.ask("state")["resources"]["example.com/x"]["capacity"] == 1, "one device")
    plugin.lists.put(None)
    server.stop(None)
    standin.stop()
