"""pack.py ROOT OUT NAME: the folder ROOT as a container image of one layer, in the file OUT.

OUT is a tar that is an OCI image layout (oci-layout, index.json, blobs/) and by its manifest.json
also an archive for `docker load`.  Nothing in it depends on when, where or by whom it was made:
entries are sorted, owned by root, and of the time SOURCE_DATE_EPOCH.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import stat
import sys
import tarfile
import time

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
ENTRYPOINT = ["/usr/bin/kerf"]
LIMIT = 40 << 20  # of the compressed layer; an image for every node should be small


def entry(name, mode, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size, info.linkname, info.mtime = mode, kind, size, link, EPOCH
    info.uname = info.gname = ""
    return info


def layer(root):
    """The files below root as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            name, info = path.relative_to(root).as_posix(), path.lstat()
            if path.is_symlink():
                tar.addfile(entry(name, 0o777, tarfile.SYMTYPE, link=os.readlink(path)))
            elif path.is_dir():
                tar.addfile(entry(name, 0o755, tarfile.DIRTYPE))
            else:
                mode = 0o755 if info.st_mode & stat.S_IXUSR else 0o644
                tar.addfile(entry(name, mode, size=info.st_size), io.BytesIO(path.read_bytes()))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def descriptor(media, data, **more):
    return {"mediaType": f"application/vnd.oci.image.{media}", "digest": digest(data),
            "size": len(data), **more}


def image(root, name):
    """The files of the archive, and the digest of the manifest."""
    plain = layer(root)
    packed = gzip.compress(plain, compresslevel=9, mtime=0)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    config = to_json({
        "architecture": "amd64", "os": "linux", "created": created,
        "config": {"Entrypoint": ENTRYPOINT, "Env": ["PATH=/usr/bin"], "WorkingDir": "/",
                   "Labels": {"org.opencontainers.image.licenses": "Apache-2.0",
                              "org.opencontainers.image.title": "kerf",
                              "org.opencontainers.image.version": name.rpartition(":")[2]}},
        "rootfs": {"type": "layers", "diff_ids": [digest(plain)]},
        "history": [{"created": created, "created_by": "deploy/images/build.sh"}]})
    manifest = to_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar+gzip", packed)]})
    names = {"io.containerd.image.name": f"docker.io/library/{name}",
             "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = to_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor("manifest.v1+json", manifest, annotations=names,
                                 platform={"architecture": "amd64", "os": "linux"})]})
    blobs = {f"blobs/sha256/{hashlib.sha256(b).hexdigest()}": b for b in (config, manifest, packed)}
    path = {id(b): p for p, b in blobs.items()}
    docker = to_json([{"Config": path[id(config)], "RepoTags": [name], "Layers": [path[id(packed)]]}])
    files = {"oci-layout": to_json({"imageLayoutVersion": "1.0.0"}), "index.json": index,
             "manifest.json": docker, **blobs}
    return files, digest(manifest), plain, packed


def main(root, out, name):
    root, out = pathlib.Path(root), pathlib.Path(out)
    files, manifest, plain, packed = image(root, name)
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink()):
        if "share/doc" not in str(path):
            print(f"{path.stat().st_size:>10}  /{path.relative_to(root)}")
    print(f"{len(plain):>10}  the layer, {len(packed)} compressed")
    if len(packed) > LIMIT:
        sys.exit(f"image: {len(packed)} bytes are more than the {LIMIT} that it may have")
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(entry("blobs", 0o755, tarfile.DIRTYPE))
        tar.addfile(entry("blobs/sha256", 0o755, tarfile.DIRTYPE))
        for path, data in sorted(files.items()):
            tar.addfile(entry(path, 0o644, size=len(data)), io.BytesIO(data))
    print(f"{out}: {name} {manifest}")


main(*sys.argv[1:])
