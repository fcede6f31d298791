"""Pods that say what they were given, and what they said."""
import re

from cluster import wait_for

# Printed by the container itself, then it waits to be ended.
PROGRAM = """
env
echo '--- devices'
ls -l /dev/nvidia* /dev/nvidia-caps/* 2>/dev/null
echo '--- /usr/lib64'
ls -l /usr/lib64 2>/dev/null
echo '--- /usr/lib/x86_64-linux-gnu'
ls -l /usr/lib/x86_64-linux-gnu 2>/dev/null
echo '--- end'
exec sleep 1000000
"""
UUID = re.compile(r"MIG-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GPU_UUID = re.compile(r"GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def pod(name, resource, count=1, **more):
    """A pod that asks for `count` devices of a resource of nvidia.com."""
    spec = {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "localhost/busybox:1",
                            "command": ["sh", "-c", PROGRAM],
                            "resources": {"limits": {f"nvidia.com/{resource}": count}}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **more}, "spec": spec}


class Given:
    """What one container printed."""

    def __init__(self, log):
        parts = re.split(r"^--- (.*)$", log, flags=re.M)
        sections = dict(zip(parts[1::2], parts[2::2]))
        assert "end" in sections, f"the container did not finish its report:\n{log}"
        self.env = parts[0]
        self.uuids = sorted(set(UUID.findall(self.env)))
        self.gpu_uuids = sorted(set(GPU_UUID.findall(self.env)))
        self.devices = self._devices(sections["devices"])
        self.gpus = sorted(d for d in self.devices if re.fullmatch(r"/dev/nvidia\d+", d))
        self.caps = sorted(d for d in self.devices if d.startswith("/dev/nvidia-caps/"))
        self.libraries = {folder: self._names(sections[folder])
                          for folder in ("/usr/lib64", "/usr/lib/x86_64-linux-gnu")}

    @staticmethod
    def _devices(text):
        """Character devices by path, each with its (major, minor)."""
        rows = re.findall(r"^c\S+ .*?(\d+), *(\d+) .* (/dev/\S+)$", text, flags=re.M)
        return {path: (int(major), int(minor)) for major, minor, path in rows}

    @staticmethod
    def _names(text):
        """Name to target for links, to '' for files."""
        rows = re.findall(r"(lib\S+)(?: -> (\S+))?$", text, flags=re.M)
        return dict(rows)


def given(cluster, name):
    """What a running pod's container printed; it may be Ready a moment before it has."""
    return Given(wait_for(f"the report of pod {name}", lambda: ended(cluster.log(name)), 20))


def ended(log):
    return log if log and "--- end" in log else None
