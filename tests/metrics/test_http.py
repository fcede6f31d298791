"""The port: formats, compression, health, TLS and users, and those who hold it up."""
import base64
import gzip
import http.client
import os
import pathlib
import socket
import ssl
import subprocess

import pytest

from support import OPENMETRICS, TEXT, Client, Scrape, address, fresh, insecure, start, wait_until

def bcrypt(password, cost=4):
    """By libcrypt, which shares no code with the salt that is made here."""
    import ctypes
    lib = ctypes.CDLL("libcrypt.so.1")
    lib.crypt.restype = ctypes.c_char_p
    made = lib.crypt(password.encode(), f"$2b${cost:02}$abcdefghijklmnopqrstuu".encode())
    assert made.startswith(b"$2b$")
    return made.decode()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def certificate(folder, name, ca=None):
    """(cert, key) by openssl, self-signed or by `ca`."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", cert]
    if ca:
        words += ["-CA", ca[0], "-CAkey", ca[1]]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cert, key


def test_text_and_openmetrics_by_accept(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    fresh(client)
    for accept, want in (
            ("", TEXT), ("*/*", TEXT), ("text/plain", TEXT), ("application/json", TEXT),
            ("application/openmetrics-text", OPENMETRICS),
            ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
             "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OPENMETRICS),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.5", TEXT),
            ("application/openmetrics-text;q=0,*/*;q=0.1", TEXT)):
        answer = client.get(Accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (200, want), accept
        assert (answer.body.splitlines()[-1] == b"# EOF") == (want == OPENMETRICS)
    scrape = Scrape(client.get(Accept="application/openmetrics-text").body.decode())
    # a counter's family lacks the suffix of its samples; DCGM's, whose samples lack it, is none
    assert scrape.type["kerf_allocations"] == "counter" and scrape.get("kerf_allocations_total")
    assert scrape.type["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"] == "unknown"


def test_gzip_when_it_is_taken(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    plain = fresh(client)
    for accept in ("gzip", "deflate, gzip;q=1.0", "br;q=1, gzip"):
        answer = client.get(Accept_Encoding=accept)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert Scrape(gzip.decompress(answer.body).decode()).names() == plain.names()
        assert len(answer.body) < len(plain.text) / 5
    for accept in ("identity", "gzip;q=0", "xgzip"):
        assert client.get(Accept_Encoding=accept).headers["Content-Encoding"] is None


def test_health_and_what_is_not_there(make_node):
    node = make_node("p5.48xlarge")
    client = start(node)
    for path in ("/health", "/healthz"):
        assert client.get(path).status == 200
    wait_until(lambda: client.get("/readyz").status == 200, "ready")
    assert client.get("/nowhere").status == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        client.http.request(method, "/metrics", body=b"x" * 100)
        answer = client.http.getresponse()
        answer.read()
        assert answer.status == 405
        client = Client(address(node))
    client.http.request("HEAD", "/metrics")
    answer = client.http.getresponse()
    assert answer.status == 200 and answer.read() == b""


def test_not_ready_without_a_driver(make_node):
    node = make_node("p5.48xlarge")
    node.machine.sim("unload")
    client = start(node)
    fine = wait_until(lambda: client.get("/metrics"), "an answer")
    assert fine.status == 200
    wait_until(lambda: "kerf_driver_up 0" in client.get().body.decode(), "the driver is down")
    node.machine.sim("load")
    fresh(client, lambda s: s.one("kerf_driver_up") == 1 and s.get("DCGM_FI_DEV_GPU_TEMP"))
    wait_until(lambda: client.get("/readyz").status == 200, "ready")


def test_users_by_bcrypt(make_node, tmp_path):
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  prom: {bcrypt('secret')}\n")
    node = make_node("p5.48xlarge")
    client = start(node, "--metrics-web-config", file)
    assert client.get("/healthz").status == 200  # the kubelet's probe has no password
    assert client.get().status == 401
    assert client.get().headers["WWW-Authenticate"].startswith("Basic ")
    assert client.get(Authorization=basic("prom", "secret")).status == 200
    for user, password in (("prom", "wrong"), ("other", "secret"), ("prom", "")):
        assert client.get(Authorization=basic(user, password)).status in (401, 429)
    assert client.get("/nowhere").status == 401


def test_guessing_does_not_keep_out_who_is_known(make_node, tmp_path):
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  prom: {bcrypt('secret')}\n")
    node = make_node("p5.48xlarge")
    client = start(node, "--metrics-web-config", file)
    assert client.get(Authorization=basic("prom", "secret")).status == 200
    answers = [client.get(Authorization=basic("prom", f"guess-{i}")).status for i in range(60)]
    assert set(answers) == {401, 429}
    answer = client.get(Authorization=basic("prom", "secret"))
    assert answer.status == 200
    assert Scrape(answer.body.decode()).one("kerf_http_requests_refused_total") == 60


def test_tls_with_headers_and_a_client_certificate(make_node, tmp_path):
    ca, server = certificate(tmp_path, "ca"), certificate(tmp_path, "server")
    client_cert, stranger = certificate(tmp_path, "client", ca), certificate(tmp_path, "stranger")
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
                    "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
                    "  min_version: TLS13\n"
                    "http_server_config:\n  headers: {X-Frame-Options: deny}\n")
    node = make_node("p5.48xlarge")
    node.start("--metrics-listen", "127.0.0.1:0", "--metrics-web-config", file)
    at = address(node)
    known = insecure(server[0], client_cert)
    answer = Client(at, known).get()
    assert answer.status == 200 and answer.headers["X-Frame-Options"] == "deny"
    for context in (insecure(server[0]), insecure(server[0], stranger)):
        try:
            assert Client(at, context).get().status == 403
        except (ssl.SSLError, OSError):
            pass  # refused before there was a request
    old = insecure(server[0], client_cert)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)):
        Client(at, old).get()
    with pytest.raises(OSError):
        assert Client(at).get().status != 200 and None
        raise OSError("not by HTTP")


def test_a_changed_web_config_is_taken_and_a_broken_one_is_not(make_node, tmp_path):
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  prom: {bcrypt('old')}\n")
    node = make_node("p5.48xlarge")
    start(node, "--metrics-web-config", file)
    at = address(node)
    assert Client(at).get(Authorization=basic("prom", "old")).status == 200
    file.write_text(f"basic_auth_users:\n  prom: {bcrypt('new')}\n")
    node.agent.reload()

    def is_new():
        try:
            return Client(at).get(Authorization=basic("prom", "new")).status == 200
        except (OSError, http.client.HTTPException):
            return False  # the change came in between, and ended the connection
    wait_until(is_new, "the new password counts")
    assert Client(at).get(Authorization=basic("prom", "old")).status == 401
    file.write_text("basic_auth_users:\n  prom: plain-text\n")
    node.agent.reload()
    wait_until(lambda: node.agent.logged("web.yml:2: prom: a bcrypt hash of cost"), "refused")
    assert Client(at).get(Authorization=basic("prom", "new")).status == 200


def test_without_a_good_web_config_nothing_is_served(make_node, tmp_path):
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_user:\n  prom: x\n")
    node = make_node("p5.48xlarge")
    node.start("--metrics-listen", "127.0.0.1:0", "--metrics-web-config", file)
    wait_until(lambda: node.agent.logged("web.yml:1: basic_auth_user"), "it is named")
    wait_until(lambda: node.kubelet.allocatable() == {"nvidia.com/gpu": 8}, "the kubelet is served")
    assert "metrics" not in node.agent.status()
    file.write_text("{}\n")
    wait_until(lambda: node.agent.status().get("metrics"), "it is tried again", 40)


def test_a_taken_port_is_tried_again_and_the_kubelet_served_meanwhile(make_node):
    taken = socket.create_server(("127.0.0.1", 0))
    node = make_node("p5.48xlarge")
    node.start("--metrics-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    wait_until(lambda: node.agent.logged("Address already in use"), "it is said")
    wait_until(lambda: node.kubelet.allocatable() == {"nvidia.com/gpu": 8}, "the kubelet is served")
    taken.close()
    wait_until(lambda: node.agent.status().get("metrics"), "it is tried again", 40)


def test_who_reads_slowly_or_not_at_all_holds_up_nobody(make_node):
    node = make_node("p5.48xlarge")
    client = start(node, label="all-1g.10gb")
    fresh(client)
    host, port = address(node).rsplit(":", 1)
    held = []
    for i in range(12):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        one.connect((host, int(port)))
        one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" if i % 2 else b"GET /metr")
        held.append(one)
    for _ in range(20):
        assert client.get().status == 200
        node.kubelet.add("p", "nvidia.com/mig-1g.10gb")
        node.wait_phase("Running", "p")
        node.kubelet.delete("p")
    # what is too long or no HTTP is refused by its sender's connection alone
    for junk in (b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff" * 50,
                 b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"):
        one = socket.create_connection((host, int(port)))
        try:
            one.sendall(junk)
            one.settimeout(15)
            while one.recv(65536):
                pass
        except OSError:
            pass
        one.close()
    assert Client(address(node)).get().status == 200
    # and who never ends the request is let go of
    for one in held[::2]:
        one.settimeout(60)
        while one.recv(4096):
            pass
    for one in held:
        one.close()


def test_nothing_is_listened_on_unless_asked(make_node):
    node = make_node("p5.48xlarge")
    node.start()
    wait_until(lambda: node.kubelet.allocatable() == {"nvidia.com/gpu": 8}, "served")
    assert "metrics" not in node.agent.status()
    inodes = {line.split()[9] for name in ("tcp", "tcp6")
              for line in open(f"/proc/{node.agent.process.pid}/net/{name}").readlines()[1:]
              if line.split()[3] == "0A"}
    ours = {os.readlink(fd) for fd in pathlib.Path(
        f"/proc/{node.agent.process.pid}/fd").iterdir()}
    assert not {f"socket:[{inode}]" for inode in inodes} & ours
