"""The device plugin's configuration by `kerf config`: broken files, the schema, what is shown.

Each file in broken/ says in its first line what is to be found, by line and sentence: a test is a
file.
"""
import json
import os
import pathlib
import subprocess

import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
BROKEN = sorted((HERE / "broken").glob("*.yaml"))


def config(kerf, *args, **env):
    """(exit status, standard output, standard error)"""
    drop = {"MIG_STRATEGY", "CONFIG_FILE", "NODE_NAME", "KUBECONFIG"}
    base = {k: v for k, v in os.environ.items() if k not in drop}
    done = subprocess.run([kerf, "config", *args], text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, env={**base, **env})
    return done.returncode, done.stdout, done.stderr


def test_there_are_sixty_of_them():
    assert len(BROKEN) >= 60


@pytest.mark.parametrize("file", BROKEN, ids=lambda f: f.stem)
def test_a_broken_file_is_named_by_line_and_reason(kerf, file):
    wanted = file.read_text().splitlines()[0].removeprefix("# expect ")
    status, out, err = config(kerf, "check", file)
    assert status == 2 and err == ""
    assert any(line.startswith(f"error: {file}:{wanted}") for line in out.splitlines()), out


def test_a_check_tells_every_mistake_not_only_the_first(kerf, tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("version: v3\nflags:\n  migStrategy: both\n  plugin: {x: 1}\n"
                    "sharing:\n  timeSlicing:\n    resources:\n    - name: A\n      replicas: 1\n")
    status, out, _ = config(kerf, "check", file)
    lines = [int(line.split(":")[2]) for line in out.splitlines()]
    assert status == 2 and lines == [1, 3, 4, 9, 8], out


def test_the_files_of_the_article_pass_with_a_note(kerf):
    for name in ("time-slicing-1", "time-slicing-2", "mig-strategy"):
        status, out, _ = config(kerf, "check", HERE / f"article/{name}.yaml")
        assert status == 0, out
        assert ("10 of each device" in out) == ("slicing" in name)


# An equivalent of each example in NVIDIA's documentation, written from the schema.
GOOD = {
    "time-slicing": """
version: v1
flags: {migStrategy: none}
sharing:
  timeSlicing:
    renameByDefault: false
    failRequestsGreaterThanOne: true
    resources:
    - name: nvidia.com/gpu
      replicas: 10
""",
    "everything": """
version: v1
flags:
  migStrategy: mixed
  failOnInitError: true
  mpsRoot: /run/nvidia/mps
  nvidiaDriverRoot: /
  nvidiaDevRoot: /
  gdrcopyEnabled: false
  gdsEnabled: false
  mofedEnabled: false
  useNodeFeatureAPI: true
  deviceDiscoveryStrategy: auto
  plugin:
    passDeviceSpecs: false
    deviceListStrategy: [envvar, cdi-annotations]
    deviceIDStrategy: uuid
    cdiAnnotationPrefix: cdi.k8s.io/
    nvidiaCTKPath: /usr/bin/nvidia-ctk
    containerDriverRoot: /driver-root
    sharedDevicesAllocationPolicy: packed
  gfd: {oneshot: false, noTimestamp: false, sleepInterval: 60s, outputFile: /x, machineTypeFile: /y}
resources:
  gpus: [{pattern: "*", name: gpu}]
  mig: [{pattern: "1g.*", name: small}]
sharing:
  timeSlicing:
    resources:
    - {name: gpu, replicas: 4, rename: quarter, devices: [0, "1:0", GPU-01234567]}
    - {name: nvidia.com/mig-1g.5gb, replicas: 2, devices: all}
imex: {channelIDs: [0], required: false}
kerf: {honour: [rename, devices]}
""",
    "mps": """
version: v1
sharing:
  mps:
    failRequestsGreaterThanOne: false
    resources: [{name: nvidia.com/gpu, replicas: 10, devices: 2}]
""",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_nvidias_plugin_serves_passes(kerf, tmp_path, name):
    file = tmp_path / "f.yaml"
    file.write_text(GOOD[name])
    status, out, _ = config(kerf, "check", file)
    assert status == 0, out


def holds(schema, value):
    """Does the value satisfy the schema?  So much of JSON Schema as ours uses."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}

    def is_a(kind):
        return isinstance(value, kinds[kind]) and (kind == "boolean") == isinstance(value, bool)

    kind = schema.get("type")
    if kind and not any(is_a(k) for k in ([kind] if isinstance(kind, str) else kind)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "anyOf" in schema and not any(holds(s, value) for s in schema["anyOf"]):
        return False
    if not all(holds(s, value) for s in schema.get("allOf", [])):
        return False
    if isinstance(value, list):
        return (len(value) >= schema.get("minItems", 0)
                and len(value) <= schema.get("maxItems", len(value))
                and all(holds(schema.get("items", {}), v) for v in value))
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return (all(k in known and holds(known[k], v) for k, v in value.items())
                and all(k in value for k in schema.get("required", [])))
    if isinstance(value, int) and kind == "integer":
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


# What a schema cannot say: two keys together, a name's letters, a file that is no YAML.
BEYOND_A_SCHEMA = {
    "twice-the-key", "two-documents", "strategy-given-twice", "replica-is-not-ten", "foreign-tag",
    "name-of-another-vendor", "name-in-capitals", "name-with-a-plus", "name-too-long",
    "name-of-nothing", "name-of-replicas", "rename-of-another-vendor", "shared-name-too-long",
    "devices-negative", "devices-half-a-uuid", "shared-twice", "mps-beside-slicing",
    "mps-beside-mixed", "mps-without-replicas", "naming-bad-name", "empty-resources",
    "no-resources", "sleep-without-unit", "alias-of-itself", "replicas-octal",
    "memory-beside-replicas", "memory-compute-too-much", "memory-name-of-the-other-unit",
    "memory-unit-is-no-size", "memory-unit-too-small", "timeslice-of-a-slice", "timeslice-of-all"}


def test_the_schema_says_what_the_parser_says(kerf):
    schema = json.loads(config(kerf, "schema")[1])
    for text in GOOD.values():
        assert holds(schema, yaml.safe_load(text))
    refused = 0
    for file in BROKEN:
        if file.stem in BEYOND_A_SCHEMA - {"replica-is-not-ten"}:
            continue
        try:
            value = yaml.safe_load(file.read_text())
        except yaml.YAMLError:
            continue
        assert not holds(schema, value), file.stem
        refused += 1
    assert refused > 30


def test_show_says_where_each_value_is_from(kerf, tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("flags:\n  migStrategy: single\n  failOnInitError: false\n")
    status, out, err = config(kerf, "show", "-o", "json", "--config-file", file, "--cdi-dir=/c",
                              NODE_NAME="n")
    assert status == 0, err
    shown = json.loads(out)["settings"]
    assert shown["mig-strategy"] == {"value": "single", "from": f"{file}:2"}
    assert shown["fail-on-init-error"] == {"value": "false", "from": f"{file}:3"}
    assert shown["cdi-dir"] == {"value": "/c", "from": "--cdi-dir"}
    assert shown["node-name"] == {"value": "n", "from": "environment NODE_NAME"}
    assert shown["log-level"] == {"value": "info", "from": "default"}
    text = yaml.safe_load(config(kerf, "show", "-o", "yaml", "--config-file", file)[1])
    assert text["settings"]["mig-strategy"]["value"] == "single"


def test_show_says_what_is_shared_and_what_was_dropped(kerf, tmp_path):
    file = tmp_path / "f.yaml"
    entry = "{name: gpu, replicas: 4, rename: quarter, devices: [0]}"
    file.write_text("sharing:\n  timeSlicing:\n    resources:\n    - " + entry + "\n")
    shown = json.loads(config(kerf, "show", "-o", "json", "--config-file", file)[1])
    assert shown["sharing"] == [{"resource": "nvidia.com/gpu", "name": "nvidia.com/gpu",
                                 "replicas": 4, "devices": "all",
                                 "failRequestsGreaterThanOne": False, "from": f"{file}:4"}]
    assert len(shown["notes"]) == 2 and all("dropped" in note for note in shown["notes"])
    file.write_text("kerf: {honour: [rename, devices]}\n" + file.read_text())
    shown = json.loads(config(kerf, "show", "-o", "json", "--config-file", file)[1])
    assert shown["sharing"][0]["name"] == "nvidia.com/quarter"
    assert shown["sharing"][0]["devices"] == ["0"] and shown["notes"] == []
