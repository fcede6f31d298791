"""Programs that none of us wrote, unmodified, on simulated machines; skipped where they are not built.

`make peers` fetches and builds them into the cache (tools/peers) and runs these tests.
"""
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "node"), str(HERE.parent / "labels")]

from peer import PEERS, Here  # noqa: E402 (the path is set above)


@pytest.fixture
def peer():
    """peer("bin/nvidia-ctk-1.20.1"): that program, or the test is skipped."""
    def find(name):
        path = PEERS / name
        if not path.exists():
            pytest.skip(f"{path} is not there; tools/peers fetches it")
        return path
    return find


@pytest.fixture
def here():
    """here("p4d.24xlarge", config) makes a machine, cut as the configuration says."""
    folders = []

    def make(name, config=None, *options):
        folders.append(pathlib.Path(tempfile.mkdtemp(prefix="kp-", dir="/tmp")))
        return Here(folders[-1], name, config, *options)

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def as_root():
    """For what needs mounts of its own (`inside`)."""
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
