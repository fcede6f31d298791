"""`kerf webhook` as a program: an API server of a page that has its Secret and its configuration, and us in
the place of the API server that asks it, over TLS that is verified."""
import base64
import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
SECRET = "/api/v1/namespaces/gpu/secrets/kerf-webhook"
MEMORY = "nvidia.com/gpu-memory"


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain: {what() if callable(what) else what}"
        time.sleep(0.02)


class Api:
    """A Secret and a MutatingWebhookConfiguration, with versions, conflicts and a watch."""

    def __init__(self):
        self.lock = threading.Condition()
        self.version = 1
        self.secret = {"metadata": {"name": "kerf-webhook", "resourceVersion": "1"}}
        self.configuration = {
            "metadata": {"name": "kerf-gpu-memory", "resourceVersion": "1"},
            "webhooks": [{"name": "gpu-memory.kerf.dev", "clientConfig": {"service": {"name": "x"}}}]}
        self.asked, self.refuse = [], {}
        self.before_patch = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, value, status=200):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def fail(self, status):
                self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                             "message": "as the test wishes"}, status)

            def do_GET(self):
                outer.get(self)

            def do_PATCH(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.patch(self, body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def get(self, call):
        path = call.path.split("?")[0]
        self.asked.append(("GET", path))
        if self.refuse.get(path):
            call.fail(self.refuse[path])
        elif "watch=" in call.path:
            self.watch(call)
        elif path == SECRET:
            call.answer(self.secret)
        elif path == CONFIGURATIONS:
            with self.lock:
                items = [self.configuration] if self.configuration else []
                call.answer({"kind": "List", "metadata": {"resourceVersion": str(self.version)},
                             "items": items})
        else:
            call.fail(404)

    def watch(self, call):
        call.send_response(200)
        call.send_header("Content-Type", "application/json")
        call.send_header("Connection", "close")
        call.end_headers()
        call.close_connection = True
        seen = int(dict(p.split("=", 1) for p in call.path.split("?")[1].split("&"))["resourceVersion"])
        try:
            while True:
                with self.lock:
                    self.lock.wait_for(lambda: self.version > seen, 0.2)
                    news = self.version > seen and self.configuration
                    seen = self.version
                if news:
                    call.wfile.write(json.dumps({"type": "MODIFIED", "object": news}).encode() + b"\n")
                    call.wfile.flush()
        except OSError:
            pass

    def patch(self, call, body):
        self.asked.append(("PATCH", call.path.split("?")[0]))
        if self.before_patch:
            self.before_patch(call.path)
        with self.lock:
            if call.path.startswith(SECRET):
                if body["metadata"]["resourceVersion"] != self.secret["metadata"]["resourceVersion"]:
                    call.fail(409)
                    return
                self.secret = {**self.secret, "data": body["data"]}
                self.secret["metadata"] = {**self.secret["metadata"], "resourceVersion": str(self.bump())}
                call.answer(self.secret)
                return
            assert call.headers["Content-Type"] == "application/strategic-merge-patch+json"
            bundle = {w["name"]: w["clientConfig"]["caBundle"] for w in body["webhooks"]}
            self.trust(bundle.get)
            call.answer(self.configuration)

    def trust(self, of):
        """The configuration with other bundles."""
        with self.lock:
            new = json.loads(json.dumps(self.configuration))
            for webhook in new["webhooks"]:
                webhook["clientConfig"]["caBundle"] = of(webhook["name"])
            new["metadata"]["resourceVersion"] = str(self.bump())
            self.configuration = new

    def bump(self):
        self.version += 1
        self.lock.notify_all()
        return self.version

    def bundle(self):
        text = self.configuration["webhooks"][0]["clientConfig"].get("caBundle")
        return base64.b64decode(text).decode() if text else None

    def served(self):
        data = self.secret.get("data")
        return base64.b64decode(data["tls.crt"]).decode() if data else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Webhook:
    def __init__(self, kerf, folder, api, *flags, log="webhook.log"):
        self.api, self.port, self.log_path = api, free_port(), folder / log
        config = folder / "kubeconfig"
        config.write_text(f"apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                          f"clusters: [{{name: c, cluster: {{server: '{api.url()}'}}}}]\n"
                          f"contexts: [{{name: c, context: {{cluster: c, user: u, namespace: gpu}}}}]\n"
                          f"users: [{{name: u, user: {{}}}}]\n")
        with open(self.log_path, "wb") as log_file:
            self.process = subprocess.Popen(
                [kerf, "webhook", "--kubeconfig", config, "--listen", f"127.0.0.1:{self.port}",
                 "--dns", "127.0.0.1", *flags], stderr=log_file, stdin=subprocess.DEVNULL)

    def log(self):
        return self.log_path.read_text()

    def trust(self):
        context = ssl.create_default_context(cadata=self.api.bundle())
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def call(self, method, path, body=None):
        """(status, text) over TLS by what the configuration trusts, for the Service's name too."""
        c = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.trust(), timeout=10)
        try:
            c.request(method, path, body=body)
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def review(self, amount):
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "main", "resources": {"limits": {MEMORY: amount}}}]}}
        status, text = self.call("POST", "/?timeout=10s", json.dumps({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
                        "operation": "CREATE", "object": pod}}))
        assert status == 200, text
        return json.loads(text)["response"]

    def works(self):
        try:
            return self.review("4Gi")["allowed"]
        except (OSError, TypeError, ssl.SSLError, http.client.HTTPException):
            return False

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def start(kerf, tmp_path, api):
    made = []

    def begin(*flags):
        hook = Webhook(kerf, tmp_path, api, *flags, log=f"webhook-{len(made)}.log")
        made.append(hook)
        return hook
    yield begin
    for hook in made:
        if hook.process.poll() is None:
            assert hook.end() == 0, hook.log()
        assert "Sanitizer" not in hook.log(), hook.log()


def test_it_makes_a_certificate_has_it_trusted_and_answers(start, api):
    hook = start()
    wait_for(hook.log, hook.works)
    answer = hook.review("4Gi")
    patch = json.loads(base64.b64decode(answer["patch"]))
    assert answer["patchType"] == "JSONPatch"
    assert patch[0] == {"op": "replace", "value": "4",
                        "path": "/spec/containers/0/resources/limits/nvidia.com~1gpu-memory"}
    assert patch[-1]["value"] == "main=4Gi"
    refused = hook.review("-4Gi")
    assert not refused["allowed"] and "write at least 1Gi" in refused["status"]["message"]
    # for the name by which API servers call a Service, too
    with socket.create_connection(("127.0.0.1", hook.port)) as raw, \
            hook.trust().wrap_socket(raw, server_hostname="kerf-webhook.gpu.svc") as tls:
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
    assert hook.call("GET", "/healthz")[0] == 200
    assert {path for _, path in api.asked} <= {SECRET, CONFIGURATIONS, CONFIGURATIONS + "/kerf-gpu-memory"}


def test_one_that_starts_again_takes_what_there_is(start, api):
    hook = start()
    wait_for(hook.log, hook.works)
    before = api.served()
    assert hook.end() == 0
    again = start()
    wait_for(again.log, again.works)
    assert api.served() == before


def test_a_bundle_that_somebody_overwrites_is_mended_at_once(start, api):
    hook = start()
    wait_for(hook.log, hook.works)
    good = api.bundle()
    api.trust(lambda name: None)  # as an apply of the manifest does
    wait_for(hook.log, lambda: api.bundle() == good, 5)


def test_certificates_are_renewed_and_no_request_fails_meanwhile(start, api):
    hook = start("--valid", "6s")
    wait_for(hook.log, hook.works)
    seen, end = set(), time.monotonic() + 15
    while time.monotonic() < end:
        assert hook.review("4Gi")["allowed"], hook.log()
        seen.add(api.served())
        time.sleep(0.05)
    assert len(seen) >= 3, hook.log()
    assert api.bundle().count("BEGIN") == 2


def test_of_two_replicas_one_makes_it_and_both_serve_it(start, api):
    barrier = threading.Barrier(2, timeout=3)

    def meet(path):
        if path.startswith(SECRET):
            try:
                barrier.wait()
            except threading.BrokenBarrierError:
                pass
    api.before_patch = meet
    one, two = start(), start()
    wait_for(lambda: one.log() + two.log(), lambda: one.works() and two.works())
    patches = [a for a in api.asked if a == ("PATCH", SECRET)]
    assert len(patches) == 2  # the second of which was a conflict


def test_trouble_is_told_once_and_lived_with(start, api):
    api.refuse[SECRET] = 403
    hook = start()
    wait_for(hook.log, lambda: "403" in hook.log())
    wait_for("it asks again", lambda: api.asked.count(("GET", SECRET)) >= 3)
    assert hook.log().count("403") == 1
    api.refuse.clear()
    wait_for(hook.log, hook.works)


def test_without_a_configuration_it_serves_and_says_so(start, api):
    configuration, api.configuration = api.configuration, None
    hook = start()
    wait_for(hook.log, lambda: "there is no MutatingWebhookConfiguration" in hook.log())
    with api.lock:
        api.configuration = configuration
        api.bump()
    wait_for(hook.log, hook.works)


def test_hostile_requests_are_answered_and_it_goes_on(start, api):
    hook = start()
    wait_for(hook.log, hook.works)
    assert hook.call("POST", "/", b"")[0] == 400
    assert hook.call("POST", "/", b"{")[0] == 400
    assert hook.call("POST", "/", b"[" * 100000)[0] == 400
    assert hook.call("POST", "/", b"x" * (5 << 20))[0] == 413
    assert hook.call("PUT", "/", b"x")[0] == 405
    assert hook.call("GET", "/x")[0] == 404
    silent = [socket.create_connection(("127.0.0.1", hook.port)) for _ in range(40)]
    with socket.create_connection(("127.0.0.1", hook.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS
    assert hook.works()
    for one in silent:
        one.close()


def test_it_stays_small(start, api):
    hook = start()
    wait_for(hook.log, hook.works)
    for _ in range(300):
        hook.review("4Gi")
    rss = next(int(line.split()[1]) for line in open(f"/proc/{hook.process.pid}/status")
               if line.startswith("VmRSS"))
    print(f"webhook: {rss} KiB resident")
    assert os.environ.get("KERF_SANITIZED") or rss < 24 * 1024


def test_a_pod_is_tried_without_a_cluster(kerf, tmp_path):
    def attempt(pod):
        file = tmp_path / "pod.json"
        file.write_text(pod)
        return subprocess.run([kerf, "webhook", "--try", file], text=True, capture_output=True)
    pod = '{"spec": {"containers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu-memory": "%s"}}}]}}'
    assert json.loads(attempt(pod % "5Gi").stdout)[0]["value"] == "5"
    done = attempt(pod % "0.5")
    assert done.returncode == 1 and "no whole number of bytes" in done.stderr
    assert attempt("{").returncode == 2
    assert attempt("{}").returncode == 1


@pytest.mark.parametrize("flags", [["x"], ["--valid", "soon"], ["--valid", "1s"], ["--nothing"]])
def test_a_wrong_command_line_is_said(kerf, flags):
    done = subprocess.run([kerf, "webhook", *flags], text=True, capture_output=True)
    assert done.returncode == 2 and done.stderr
