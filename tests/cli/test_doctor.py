"""kerf doctor on simulated machines, whole and broken: each state has its verdict and its advice."""
import json
import os
import pty
import shutil
import socket
import subprocess
import time

import pytest

OWN = {"CONFIG_FILE", "CONFIG_FILE_SRCDIR", "MIG_PARTED_CONFIG_FILE", "NODE_NAME", "KUBECONFIG",
       "KUBERNETES_SERVICE_HOST", "MIG_STRATEGY", "NO_COLOR", "HOME"}
KEY = "accept-nvidia-visible-devices-envvar-when-unprivileged"


class Node:
    """A simulated machine with a kubelet's directory, a state directory and CDI on."""

    def __init__(self, kerf, folder):
        self.kerf, self.folder, self.root = kerf, folder, folder / "machine/root"
        subprocess.run([kerf, "sim", "create", "p4d.24xlarge", folder / "machine"], check=True,
                       capture_output=True)
        self.plugins = folder / "kubelet/device-plugins"
        self.plugins.mkdir(parents=True)
        self.write("/etc/containerd/config.toml", "version = 3\n")
        self.programs = []

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def start(self, *args, wait):
        """Start `kerf sim ARGS` and wait for the file that it makes when it is ready."""
        program = subprocess.Popen([self.kerf, "sim", *args], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL)
        self.programs.append(program)
        end = time.monotonic() + 30
        while not (wait.exists() and (wait.is_socket() or wait.stat().st_size)):
            assert program.poll() is None and time.monotonic() < end
            time.sleep(0.01)

    def start_kubelet(self):
        self.start("kubelet", self.plugins, wait=self.plugins.parent / "pod-resources/kubelet.sock")

    def end(self):
        for program in self.programs:
            program.kill()
            program.wait()

    def arguments(self, *args):
        return [self.kerf, "doctor", "--root", self.root, "--kubelet-dir", self.plugins,
                "--state-dir", self.folder / "state", "--cdi-dir", self.folder / "cdi", *args]

    def environment(self, **env):
        clean = {k: v for k, v in os.environ.items() if k not in OWN}
        return {**clean, "HOME": str(self.folder), **env}

    def doctor(self, *args, **env):
        """(exit status, {check: [(verdict, what, todo)]})"""
        done = subprocess.run(self.arguments("-o", "json", *args), text=True, check=False,
                              capture_output=True, timeout=60, env=self.environment(**env))
        assert done.stderr == ""
        answer = json.loads(done.stdout)
        found = {}
        for c in answer["checks"]:
            found.setdefault(c["name"], []).append((c["verdict"], c["what"], c["todo"]))
        problems = [c for c in answer["checks"] if c["verdict"] == "problem"]
        assert answer["problems"] == len(problems) and done.returncode == bool(problems)
        assert all(c["todo"] for c in answer["checks"] if c["verdict"] != "ok")
        return done.returncode, found

    def verdict(self, check, part, *args, **env):
        """The verdict of the one check of this name whose sentence has this part."""
        _, found = self.doctor(*args, **env)
        rows = [row for row in found.get(check, []) if part in row[1]]
        assert len(rows) == 1, (part, found.get(check))
        return rows[0][0]


@pytest.fixture
def node(kerf, tmp_path):
    made = Node(kerf, tmp_path)
    yield made
    made.end()


def test_a_whole_node_has_no_problem(node):
    node.start_kubelet()
    status, found = node.doctor()
    assert status == 0
    assert {name for name, rows in found.items() if rows[0][0] != "ok"} == {"api-server"}
    assert "sees 8 GPUs" in found["driver"][0][1]
    assert "0 devices" in found["pod-resources"][0][1]


def test_it_changes_nothing(node):
    node.doctor()
    assert not (node.folder / "state").exists() and not (node.folder / "cdi").exists()


def test_no_kubelet_is_a_problem(node):
    assert node.verdict("kubelet", "No such file") == "problem"
    assert node.verdict("pod-resources", "No such file") == "problem"


def test_no_driver_library_is_a_problem(node):
    shutil.rmtree(node.root / "usr/lib")
    # The loader may still find one: that of this machine.
    verdicts = {row[0] for row in node.doctor()[1]["driver"]}
    assert verdicts == {"problem"} or os.path.exists("/dev/nvidiactl")


def test_an_unloaded_module_is_a_problem(node):
    subprocess.run([node.kerf, "sim", "unload", node.folder / "machine"], check=True,
                   capture_output=True)
    _, found = node.doctor()
    assert found["driver"][0][0] == "problem" and "modprobe nvidia" in found["driver"][0][2]
    assert "gpus" not in found and "device nodes" not in found


def test_a_missing_device_node_is_named(node):
    (node.root / "dev/nvidia-uvm").unlink()
    (node.root / "dev/nvidia5").unlink()
    assert node.verdict("device nodes", "/dev/nvidia-uvm, /dev/nvidia5") == "problem"


def test_a_missing_capability_node_of_a_slice_is_a_problem(node):
    done = subprocess.run([node.kerf, "apply", "-c", "all-1g.5gb", *node.arguments()[2:]],
                          text=True, capture_output=True, check=False, env=node.environment())
    assert done.returncode == 0, done.stderr
    assert node.verdict("slice nodes", "are there") == "ok"
    minors = (node.root / "proc/driver/nvidia-caps/mig-minors").read_text()
    minor = dict(line.split() for line in minors.splitlines())["gpu2/gi9/access"]
    (node.root / f"dev/nvidia-caps/nvidia-cap{minor}").unlink()
    assert node.verdict("slice nodes", "gpu 2, instance 9/0") == "problem"


def test_a_lost_gpu_is_a_warning(node):
    subprocess.run([node.kerf, "sim", "lose", node.folder / "machine", "3"], check=True,
                   capture_output=True)
    assert node.verdict("gpus", "gpu 3") == "warning"


def test_a_runtime_without_cdi_is_a_warning_and_a_problem_where_names_are_asked_for(node):
    node.write("/etc/containerd/config.toml", "version = 2\nenable_cdi = false\n")
    assert node.verdict("cdi", "ignores CDI names") == "warning"
    assert node.verdict("cdi", "in silence", "--cdi=cdi") == "problem"
    assert node.verdict("cdi", "in silence", DEVICE_LIST_STRATEGY="cdi-cri") == "problem"
    assert node.verdict("cdi", "not needed", "--cdi=devices") == "ok"


def test_a_toolkit_that_shows_every_gpu_to_pods_that_ask_for_none_is_told(node):
    """k8s-device-plugin#61, #87, #195, #1605; gpu-operator#700."""
    file = "/etc/nvidia-container-runtime/config.toml"
    node.write(file, f"#{KEY} = true\n\n[nvidia-container-cli]\nenvironment = []\n")
    _, found = node.doctor()
    verdict, what, todo = found["toolkit"][0]
    assert verdict == "warning" and "asks for no GPU sees all" in what
    assert f"{KEY} = false in {file}" in todo
    node.write(file, f"{KEY} = false\n")
    assert node.verdict("toolkit", "is not accepted") == "ok"


def test_nvidias_daemons_are_told_by_name(node):
    for pid, program in (("12", "nvidia-device-plugin"), ("13", "/usr/bin/gpu-feature-discovery"),
                         ("14", "config-manager"), ("15", "nvidia-mig-manager"),
                         ("16", "/usr/bin/dcgm-exporter")):
        node.write(f"/proc/{pid}/cmdline", program + "\0--flag\0")
    status, found = node.doctor()
    verdicts = {row[1].split()[0]: row[0] for row in found["daemons"]}
    assert status == 1
    assert verdicts == {"nvidia-device-plugin": "problem", "gpu-feature-discovery": "warning",
                        "config-manager": "warning", "nvidia-mig-manager": "problem",
                        "dcgm-exporter": "warning"}


def test_another_device_plugins_socket_is_told(node):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(node.plugins / "nvidia-gpu.sock"))
        other.listen()
        assert node.verdict("plugins", "serves nvidia-gpu.sock") == "problem"
    assert node.verdict("plugins", "left by a device plugin") == "warning"


def test_a_broken_configuration_is_told_with_its_line(node):
    file = node.folder / "config.yaml"
    file.write_text("version: v1\nflags:\n  migStrategy: both\n")
    assert node.verdict("config", f"{file}:3:", "--config-file", file) == "problem"
    file.write_text("version: v1\nflags: {migStrategi: none}\n")
    assert node.verdict("config", f"{file}:2:", CONFIG_FILE=str(file)) == "warning"
    file.write_text("version: v1\nflags: {migStrategy: mixed}\n")
    assert node.verdict("config", "is good", "--config-file", file) == "ok"
    mig = node.folder / "mig.yaml"
    mig.write_text("version: v1\nmig-configs:\n  a:\n  - devices: everything\n")
    assert node.verdict("config", str(mig), "--mig-config", mig) == "problem"


def test_a_directory_of_configurations_is_read_whole(node):
    folder = node.folder / "configs"
    assert node.verdict("config", "cannot be read", "--config-dir", folder) == "problem"
    folder.mkdir()
    assert node.verdict("config", "no configuration in", "--config-dir", folder) == "warning"
    (folder / "a").write_text("version: v1\n")
    (folder / "b").write_text("version: v1\n")
    (folder / "..data").mkdir()
    assert node.verdict("config", "2 configurations", "--config-dir", folder) == "ok"
    (folder / "b").write_text("version: v3\n")
    assert node.verdict("config", f"{folder}/b:1:", "--config-dir", folder) == "problem"


def test_a_state_directory_that_cannot_be_is_a_problem(node):
    (node.folder / "state").write_text("a file where the directory should be")
    assert node.verdict("state-dir", "Not a directory") == "problem"


def test_an_api_server_that_does_not_answer_is_a_problem(node):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = node.folder / "kubeconfig"
    file.write_text(KUBECONFIG.format(server=f"http://127.0.0.1:{port}"))
    assert node.verdict("api-server", f"127.0.0.1:{port}", "--kubeconfig", file) == "problem"
    file.write_text("not: a kubeconfig\n")
    assert node.verdict("api-server", str(file), "--kubeconfig", file) == "problem"


def test_an_api_server_tells_its_version_and_whether_our_node_is_there(node):
    file = node.folder / "kubeconfig"
    node.start("apiserver", "--node", "a", "--kubeconfig", file, wait=file)
    assert node.verdict("api-server", "answers: Kubernetes v", KUBECONFIG=str(file)) == "ok"
    assert node.verdict("node", "is there", "--node-name=a", KUBECONFIG=str(file)) == "ok"
    assert node.verdict("node", "404", "--node-name=b", KUBECONFIG=str(file)) == "problem"


KUBECONFIG = """apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{}}}}]
"""


# --- what it looks like --------------------------------------------------------------------------

def on_a_terminal(node, **env):
    """What is written to a terminal."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(node.arguments(), stdout=theirs,
                               env=node.environment(TERM="xterm", **env))
    os.close(theirs)
    text = b""
    try:
        while block := os.read(ours, 4096):
            text += block
    except OSError:  # the other end was closed
        pass
    os.close(ours)
    program.wait()
    return text.decode()


def test_colours_are_for_terminals_and_can_be_refused(node):
    assert "\033[31mproblem" in on_a_terminal(node)
    assert "\033" not in on_a_terminal(node, NO_COLOR="1")
    piped = subprocess.run(node.arguments(), text=True, capture_output=True, check=False,
                           env=node.environment(TERM="xterm"))
    assert "\033" not in piped.stdout and "problem  kubelet" in piped.stdout
    assert all(len(line) <= 100 for line in piped.stdout.splitlines()
               if str(node.folder) not in line)


def test_yaml_says_the_same_as_json(node):
    yaml = pytest.importorskip("yaml")
    text = {form: subprocess.run(node.arguments("-o", form), text=True, capture_output=True,
                                 check=False, env=node.environment()).stdout
            for form in ("json", "yaml")}
    assert yaml.safe_load(text["yaml"]) == json.loads(text["json"])
