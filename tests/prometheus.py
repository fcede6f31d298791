"""Prometheus itself, with one target; Debian's package."""
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needed = pytest.mark.skipif(not (PROMETHEUS and PROMTOOL), reason="no prometheus and promtool here")


class Prometheus:
    """Scrapes `target` every 200 ms; up when the first scrape has been had."""

    def __init__(self, folder, target, scrape=""):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                          "scrape_configs:\n- job_name: gpu\n" + scrape +
                          f"  static_configs: [{{targets: ['{target}']}}]\n")
        self.log = folder / "prometheus.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self.is_up():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(.05)

    def call(self, path, **values):
        """The data of an answer of the HTTP API; a refusal of the query fails with its reason."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(values, True)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                got = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it is not ready yet
                raise
            raise AssertionError(f"{values}: {error.read().decode()}") from None
        assert got["status"] == "success", got
        return got["data"]

    def query(self, text):
        """[(labels, value)] at this moment."""
        return [(row["metric"], float(row["value"][1]))
                for row in self.call("query", query=text)["result"]]

    def is_up(self):
        try:
            return [value for _, value in self.query("up")] == [1]
        except OSError:
            return False

    def end(self):
        self.process.kill()
        self.process.wait()
