"""Which layouts can be reached, by driver calls alone, and where instances go by themselves.

The counts are those of nvml-mig-mps.md 1.9: layouts that hold at least one instance.
"""
import pytest

import nvml as N

PLAIN = ["1_SLICE", "2_SLICE", "3_SLICE", "4_SLICE", "7_SLICE"]  # constants 0 to 4
DOUBLE, ME, ME_2 = 9, 7, 8
EIGHT_UNITS = [
    ("p4d.24xlarge", "a100 40"), ("p4de.24xlarge", "a100 80"), ("p5.48xlarge", "h100"),
    ("p5en.48xlarge", "h200"), ("p6-b200.48xlarge", "b200"),
]


def constants_of(nvml, gpu, wanted):
    """[(profile id, size, starts)] of those that the GPU has."""
    found = []
    for constant in wanted:
        try:
            p = nvml.profile(gpu, constant)
        except N.Refused as refused:
            assert refused.code == N.NOT_SUPPORTED
            continue
        at = nvml.placements(gpu, p.id)
        found.append((p.id, at[0][1], [start for start, _ in at]))
    return found


def walk(nvml, gpu, wanted):
    """Create and destroy through every layout; the set of them, the empty one left out."""
    profiles = constants_of(nvml, gpu, wanted)
    seen = {frozenset()}

    def visit(layout):
        for pid, size, starts in profiles:
            for start in starts:
                there = layout | {(pid, start)}
                if there in seen:
                    continue
                try:
                    gi = nvml.create(gpu, pid, start, size)
                except N.Refused as refused:
                    assert refused.code == N.INSUFFICIENT_RESOURCES
                    continue
                seen.add(there)
                visit(there)
                nvml.destroy(gi)

    visit(frozenset())
    return seen - {frozenset()}


def layouts(driver, name, wanted, gpu=0):
    _, nvml = driver(name)
    handle = nvml.gpu(gpu)
    assert nvml.set_mig(handle, 1) == N.SUCCESS
    return walk(nvml, handle, wanted)


def maximal(found):
    return [a for a in found if not any(a < b for b in found)]


@pytest.mark.parametrize("name, product", EIGHT_UNITS)
@pytest.mark.parametrize("wanted, count", [
    ([0, 1, 2, 3, 4], 297), ([0, 1, 2, 3, 4, DOUBLE], 722), ([0, 1, 2, 3, 4, DOUBLE, ME], 2318)])
def test_an_eight_unit_part_has_the_documented_layouts(driver, name, product, wanted, count):
    found = layouts(driver, name, wanted)
    assert len(found) == count
    if count == 297:
        assert len(maximal(found)) == 19


@pytest.mark.parametrize("wanted, count, complete", [([0, 1, 3], 25, 5), ([0, 1, 3, ME, ME_2], 75, 17)])
def test_an_a30_has_the_documented_layouts(driver, wanted, count, complete):
    found = layouts(driver, "a30x4", wanted)
    assert (len(found), len(maximal(found))) == (count, complete)


def test_an_rtx_pro_6000_has_the_documented_layouts(driver):
    found = layouts(driver, "g7e.12xlarge", [0, 1, 3])
    assert (len(found), len(maximal(found))) == (25, 5)


# NVIDIA's documented outcomes, and the profile ids of seven-slice parts.
ID = {"1g": 19, "2g": 14, "3g": 9, "4g": 5, "7g": 0}


@pytest.mark.parametrize("order, starts", [
    ("1g 1g 2g", [6, 4, 0]), ("3g 1g 2g 1g", [4, 0, 2, 1]), ("2g 1g 1g 1g 1g 1g", [4, 6, 0, 1, 2, 3]),
    ("1g 2g 4g", [6, 4, 0]), ("3g 4g", [4, 0]), ("1g 1g 1g", [6, 4, 5])])
@pytest.mark.parametrize("name", ["p4d.24xlarge", "p5.48xlarge"])
def test_instances_go_where_nvidia_says(driver, name, order, starts):
    _, nvml = driver(name)
    gpu = nvml.gpu(0)
    nvml.set_mig(gpu, 1)
    assert [nvml.info(nvml.create(gpu, ID[p])).start for p in order.split()] == starts


def test_a_3g_after_1g_1g_2g_finds_no_room(driver):
    """NVIDIA's known issue: create the 3g first."""
    _, nvml = driver("p4d.24xlarge")
    gpu = nvml.gpu(0)
    nvml.set_mig(gpu, 1)
    for p in ("1g", "1g", "2g"):
        nvml.create(gpu, ID[p])
    with pytest.raises(N.Refused) as refused:
        nvml.create(gpu, ID["3g"])
    assert refused.value.code == N.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize("name, ids", [
    ("p4d.24xlarge", {(0, 0): 0, (5, 0): 1, (9, 4): 2, (14, 0): 3, (14, 4): 5, (15, 6): 6,
                      (19, 0): 7, (19, 6): 13, (20, 3): 10}),
    ("a30x4", {(0, 0): 0, (5, 0): 1, (5, 2): 2, (14, 0): 3, (14, 3): 6}),
    ("g7e.12xlarge", {(0, 0): 0, (5, 6): 2, (14, 0): 3, (14, 9): 6})])
def test_instance_ids_are_those_of_a_heap(driver, name, ids):
    _, nvml = driver(name)
    gpu = nvml.gpu(0)
    nvml.set_mig(gpu, 1)
    for (pid, start), expected in ids.items():
        size = dict(nvml.placements(gpu, pid))[start]
        gi = nvml.create(gpu, pid, start, size)
        info = nvml.info(gi)
        assert (info.id, info.profileId, info.start, info.size) == (expected, pid, start, size)
        nvml.destroy(gi)


def test_the_capacity_left_is_what_can_be_created(driver):
    _, nvml = driver("p4d.24xlarge")
    gpu = nvml.gpu(0)
    nvml.set_mig(gpu, 1)
    nvml.create(gpu, ID["3g"], 4, 4)
    for pid, expected in ((19, 4), (14, 2), (9, 1), (5, 1), (0, 0), (15, 2), (20, 1)):
        assert nvml.try_("DeviceGetGpuInstanceRemainingCapacity", gpu, N.c_uint(pid),
                         N.byref(left := N.c_uint())) == 0
        assert left.value == expected, pid
