"""The container image: the same each time, small, whole, and nothing in it that is not needed."""
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
EPOCH = 1700000000


def build(kerf, out):
    done = subprocess.run([TREE / "deploy/images/build.sh"], text=True, capture_output=True, umask=0o027,
                          env=dict(os.environ, OUT=str(out), KERF_BUILD=str(kerf.parent),
                                   SOURCE_DATE_EPOCH=str(EPOCH)))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image(kerf, tmp_path_factory):
    """The archive, and what building it printed."""
    out = tmp_path_factory.mktemp("image") / "kerf.tar"
    return out, build(kerf, out)


@pytest.fixture(scope="module")
def blobs(image):
    with tarfile.open(image[0]) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}


@pytest.fixture(scope="module")
def layer(blobs):
    name = json.loads(blobs["manifest.json"])[0]["Layers"][0]
    return tarfile.open(fileobj=io.BytesIO(blobs[name]))


def blob(blobs, descriptor):
    data = blobs["blobs/" + descriptor["digest"].replace(":", "/")]
    assert descriptor["size"] == len(data)
    assert descriptor["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    return data


def test_built_again_it_is_the_same_to_the_byte(kerf, image, tmp_path):
    other = tmp_path / "other/kerf"  # another place and a later time
    other.parent.mkdir()
    shutil.copyfile(kerf, other)
    other.chmod(0o700)
    again = tmp_path / "again.tar"
    build(other, again)
    assert again.read_bytes() == image[0].read_bytes()


def test_is_an_oci_layout_whose_digests_agree(blobs):
    assert json.loads(blobs["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    manifest = json.loads(blob(blobs, json.loads(blobs["index.json"])["manifests"][0]))
    config = json.loads(blob(blobs, manifest["config"]))
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    with tarfile.open(fileobj=io.BytesIO(blob(blobs, manifest["layers"][0]))) as tar:
        plain = tar.fileobj
        plain.seek(0)
        assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(plain.read()).hexdigest()]


def test_is_smaller_than_40_mib(image):
    assert image[0].stat().st_size < 40 << 20


def test_everything_is_of_root_and_of_the_same_time(layer):
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in layer} == {(0, 0, "", "", EPOCH)}
    assert {oct(m.mode) for m in layer if m.isfile()} <= {"0o644", "0o755"}


def test_holds_two_programs_and_the_libraries_that_they_load(kerf, layer):
    files = {m.name for m in layer if m.isfile()}
    assert {f for f in files if f.startswith("usr/bin/")} == {"usr/bin/kerf", "usr/bin/chroot"}
    loaded = subprocess.check_output(["ldd", kerf, "/usr/sbin/chroot"], text=True)
    wanted = {pathlib.Path(p).name for p in re.findall(r"(/\S+\.so\S*) \(", loaded)}
    # what the driver's library is linked with besides
    wanted |= {"libdl.so.2", "libpthread.so.0", "librt.so.1"}
    assert {pathlib.Path(f).name for f in files if ".so" in f} == wanted
    assert {f.split("/")[0] for f in files} == {"usr"}


def test_every_library_has_its_package_and_copyright_notice(layer):
    listed = layer.extractfile("usr/share/doc/kerf/packages").read().decode()
    packages = [line.split()[0] for line in listed.splitlines()]
    assert "libc6" in packages
    names = set(layer.getnames())
    assert [p for p in packages if f"usr/share/doc/{p}/copyright" not in names] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot takes root")
def test_runs_where_there_is_nothing_else(layer, tmp_path):
    layer.extractall(tmp_path)
    try:
        enter, ask = ["/usr/sbin/chroot", tmp_path], ["/usr/bin/kerf", "--version"]
        said = subprocess.check_output([*enter, *ask], text=True)
        inner = subprocess.check_output([*enter, "/usr/bin/chroot", "/", *ask], text=True)
    finally:
        shutil.rmtree(tmp_path / "usr")
    assert said.startswith("kerf ") and inner == said
