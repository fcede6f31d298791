"""The states of simulated machines of which tests/labels/golden tells the labels."""

# The name of NVIDIA's configuration that cuts every GPU which can into equal slices.
EQUAL = {
    "p4d.24xlarge": "all-1g.5gb",
    "p4de.24xlarge": "all-1g.10gb",
    "a30x4": "all-1g.6gb",
    "p5.48xlarge": "all-1g.10gb",
    "p5en.48xlarge": "all-1g.18gb",
    "p6-b200.48xlarge": "all-1g.23gb",
    "g7e.12xlarge": "all-1g.24gb",
    "mixed": "all-1g.10gb",  # the A100 and the H100; its T4 makes `single` invalid in any state
}
WITHOUT_MIG = ["g4dn.xlarge", "g5.48xlarge", "g6.xlarge", "g6e.xlarge", "p3.2xlarge"]
MACHINES = [*EQUAL, *WITHOUT_MIG]

# What mig-parted's default file has no name for.
CUSTOM = """\
version: v1
mig-configs:
  half:
    - {devices: [0, 1, 2, 3], mig-enabled: true, mig-devices: {1g.5gb: 7}}
    - {devices: [4, 5, 6, 7], mig-enabled: false, mig-devices: {}}
  compute-instances:
    - {devices: [0], mig-enabled: true, mig-devices: {1c.3g.20gb: 2, 3g.20gb: 1}}
    - {devices: [1, 2, 3, 4, 5, 6, 7], mig-enabled: false, mig-devices: {}}
"""
CUSTOM_NAMES = ("half", "compute-instances")

SHARING = {
    "exclusive": [],
    # GPUs by four, the smallest of the slices by two; the others are not shared
    "shared": ["gpu=4", "mig-1g.5gb=2", "mig-1g.6gb=2", "mig-1g.10gb=2", "mig-1g.18gb=2",
               "mig-1g.23gb=2", "mig-1g.24gb=2"],
    "renamed": ["gpu=4:renamed", "mig-1g.5gb=2:renamed"],
    "mps": ["gpu=4"],
}


def config_of(machine, state):
    """The configuration that makes the state; None: as the machine comes."""
    if state == "off":
        return None
    return {"equal": EQUAL.get(machine), "balanced": "all-balanced",
            "empty": "all-enabled"}.get(state, state)


def cases():
    """(machine, state, strategy, sharing): each is a file MACHINE-STATE-STRATEGY-SHARING.txt"""
    usual = ("exclusive", "shared")
    for machine in EQUAL:
        for state, strategy in (("off", "none"), ("equal", "single"), ("balanced", "mixed"),
                                ("balanced", "single"), ("balanced", "none")):
            yield from ((machine, state, strategy, s) for s in usual)
    for machine in WITHOUT_MIG:
        for strategy in ("none", "single", "mixed"):
            yield from ((machine, "off", strategy, s) for s in usual)
    p4d = "p4d.24xlarge"
    for state in ("empty", "half", "compute-instances"):
        for strategy in ("single", "mixed"):
            yield p4d, state, strategy, "exclusive"
    yield p4d, "off", "single", "exclusive"
    yield p4d, "off", "mixed", "shared"
    yield p4d, "half", "mixed", "shared"
    for sharing in ("renamed", "mps"):
        yield p4d, "off", "none", sharing
        yield p4d, "equal", "single", sharing
    yield p4d, "equal", "mixed", "renamed"
    yield p4d, "all-1g.5gb.me", "mixed", "exclusive"
    yield p4d, "all-1g.5gb.me", "single", "exclusive"
    yield "g7e.12xlarge", "all-1g.24gb.gfx", "single", "exclusive"
    yield "g7e.12xlarge", "all-1g.24gb.gfx", "single", "shared"  # the product must be cut
    yield "g7e.12xlarge", "all-1g.24gb-me", "mixed", "exclusive"


def file_name(case):
    return "-".join(case) + ".txt"
