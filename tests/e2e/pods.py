"""Pods that say what they were given, and what they said."""
import json
import re
import subprocess

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


def pod(name, resource, count=1, **more):
    """A pod that asks for `count` devices of a resource of nvidia.com."""
    spec = {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "localhost/busybox:1",
                            "command": ["sh", "-c", PROGRAM],
                            "resources": {"limits": {f"nvidia.com/{resource}": count}}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **more}, "spec": spec}


class Given:
    """What one container printed."""

    def __init__(self, log, ids):
        parts = re.split(r"^--- (.*)$", log, flags=re.M)
        sections = dict(zip(parts[1::2], parts[2::2]))
        assert "end" in sections, f"the container did not finish its report:\n{log}"
        self.env = parts[0]
        self.uuids = sorted(ids)  # as the kubelet has them in the pod's status
        self.named = sorted(set(UUID.findall(self.env)))  # as the container sees them
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
    log = wait_for(f"the report of pod {name}", lambda: ended(cluster.log(name)), 20)
    if cluster.minor() < 36:  # there the status of a pod does not name its devices
        return Given(log, re.search(r"^KERF_DEVICES=(.*)$", log, re.M)[1].split(","))
    return Given(log, wait_for(f"the devices of pod {name}", lambda: device_ids(cluster, name), 20))


def ended(log):
    return log if log and "--- end" in log else None


def device_ids(cluster, name):
    """The devices that the kubelet gave to a pod, from the pod's status."""
    status = cluster.get(f"namespaces/default/pods/{name}")["status"]
    return [r["resourceID"] for c in status.get("containerStatuses", [])
            for a in c.get("allocatedResourcesStatus", []) for r in a.get("resources", [])]


def capabilities(kerf, machine):
    """The two /dev/nvidia-caps nodes and the parent's node of each MIG device, as the machine says."""
    minors = dict(re.findall(r"^(\S+) (\d+)$",
                             (machine / "root/proc/driver/nvidia-caps/mig-minors").read_text(), re.M))
    shown = json.loads(subprocess.check_output([kerf, "sim", "show", machine, "-o", "json"]))
    found = {}
    for gpu in shown["gpus"]:
        for gi in gpu.get("instances", []):
            for ci in gi["compute"]:
                prefix = f"gpu{gpu['minor']}/gi{gi['id']}"
                caps = [minors[f"{prefix}/access"], minors[f"{prefix}/ci{ci['id']}/access"]]
                found[ci["uuid"]] = (f"/dev/nvidia{gpu['minor']}",
                                     sorted(f"/dev/nvidia-caps/nvidia-cap{m}" for m in caps))
    return found
