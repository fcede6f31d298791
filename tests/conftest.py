"""What tests of whole programs share.  They run the plain build: build/, or what KERF_BUILD names."""
import os
import pathlib
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("KERF_BUILD", TREE / "build"))
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kerf"


@pytest.fixture(scope="session")
def kerf():
    """The program under test."""
    program = BUILD / "kerf"
    assert program.exists(), f"{program} is not built; run make"
    return program


@pytest.fixture(scope="session")
def sim_library():
    """The simulator's driver library."""
    library = BUILD / "sim/libnvidia-ml.so.1"
    assert library.exists(), f"{library} is not built; run make"
    return library


@pytest.fixture(scope="session")
def venv():
    """The folder of the programs from PyPI that run on the simulator."""
    folder = pathlib.Path(os.environ.get("KERF_VENV", CACHE / "venv"))
    if not folder.is_dir():
        subprocess.run([TREE / "tools/venv"], check=True)
    return folder
