"""NVIDIA's GPU Feature Discovery and `kerf labels` on the same machine."""
import json

import pytest

from harness import run
from states import EQUAL, SHARING, cases, config_of

GFD = "bin/gpu-feature-discovery-0.19.3"
EVERY = sorted({*cases(), *((m, state, strategy, "exclusive") for m in EQUAL
                            for state in ("off", "equal", "balanced", "empty")
                            for strategy in ("none", "single", "mixed"))})
STATES = sorted({case[:2] for case in EVERY})

# On a node of several models NVIDIA's takes one at random for these.
RANDOM = {"nvidia.com/gpu." + key for key in (
    "product", "count", "memory", "family", "compute.major", "compute.minor")}
# More than a label may hold: kerf cuts it.
TOO_LONG = ("g7e.12xlarge", "all-1g.24gb.gfx", "single", "shared")
# NVIDIA's ends with an error: MPS with MIG.
REFUSED = ("p4d.24xlarge", "equal", "single", "mps")


def configuration(strategy, sharing):
    """Of NVIDIA's program, in JSON, which is YAML."""
    made = {"version": "v1", "flags": {"migStrategy": strategy}}
    shares = [share.split("=") for share in SHARING[sharing]]
    if shares:
        kind = "mps" if sharing == "mps" else "timeSlicing"
        made["sharing"] = {kind: {
            "renameByDefault": sharing == "renamed",
            "resources": [{"name": "nvidia.com/" + name, "replicas": int(n.split(":")[0])}
                          for name, n in shares]}}
    return json.dumps(made)


def told_by_gfd(machine, program, case):
    config, out = machine.folder / "gfd.yaml", machine.folder / "gfd"
    config.write_text(configuration(*case[2:]))
    done = machine.run_inside(
        program, "--oneshot", "--no-timestamp", "--use-node-feature-api=false", "--config-file", config,
        "--output-file", out, "--machine-type-file", machine.root / "sys/class/dmi/id/product_name",
        check=case != REFUSED)
    if case == REFUSED:
        assert "MPS sharing is not supported for mig devices" in done.stderr
        return None
    return dict(line.split("=", 1) for line in out.read_text().splitlines())


def told_by_kerf(machine, case):
    sharing = {"exclusive": "none", "mps": "mps"}.get(case[3], "time-slicing")
    shares = [a for share in SHARING[case[3]] for a in ("--replicas", share)]
    lines = run("labels", "--root", machine.root, "--no-timestamp", "--mig-strategy", case[2], "--sharing",
                sharing, *shares).splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name,state", STATES, ids=["-".join(s) for s in STATES])
def test_the_same_labels(here, peer, as_root, name, state):
    program, machine = peer(GFD), here(name, config_of(name, state))
    for case in [c for c in EVERY if c[:2] == (name, state)]:
        theirs, ours = told_by_gfd(machine, program, case), told_by_kerf(machine, case)
        if theirs is None:
            continue
        if case == TOO_LONG:
            assert len(theirs.pop("nvidia.com/gpu.product")) > 63 >= len(ours.pop("nvidia.com/gpu.product"))
        if name == "mixed":
            assert set(theirs) == set(ours), case
            theirs, ours = ({k: v for k, v in t.items() if k not in RANDOM} for t in (theirs, ours))
        assert ours == theirs, case
