"""From buildah's storage into containerd's, writing only the layers that containerd does not have.

A layout folder is made whose blobs are hard links to containerd's own; skopeo adds what is missing there; a tar of
what was added goes into `ctr images import` through a pipe. A worker of 6 GB whose code changed moves in seconds.
"""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from hack.cluster import command
from hack.cluster.cache import cache_root
from hack.cluster.containerd import Containerd
from hack.cluster.failure import ClusterError
from hack.cluster.images import buildah

BLOBS = Path("io.containerd.content.v1.content/blobs/sha256")


def load(runtime: Containerd, reference: str, log: Path) -> None:
    """Make containerd run an image of buildah's."""
    layout = cache_root() / "layout"
    shutil.rmtree(layout, ignore_errors=True)
    target = layout / "blobs" / "sha256"
    target.mkdir(parents=True)
    known = _link_known(runtime.root / BLOBS, target)
    try:
        command.logged(copy_words(reference, layout), log)
        _import(runtime, layout, _added(layout, known))
    finally:
        shutil.rmtree(layout)


def copy_words(reference: str, layout: Path) -> list[str]:
    """The copy out of buildah's storage: skopeo can leave layers uncompressed, `buildah push` cannot."""
    source = f"containers-storage:[overlay@{buildah.storage()}+{buildah.run_root()}]{reference}"
    flags = ["--quiet", "--insecure-policy", "--dest-oci-accept-uncompressed-layers"]
    return ["skopeo", "copy", *flags, source, f"oci:{layout}:{reference}"]


def _link_known(source: Path, target: Path) -> set[str]:
    names = {file.name for file in source.iterdir()} if source.is_dir() else set()
    for name in names:
        os.link(source / name, target / name)
    return names


def _added(layout: Path, known: set[str]) -> Iterator[Path]:
    """What the archive must carry: the index, the image's manifest and configuration, new layers."""
    yield layout / "oci-layout"
    yield layout / "index.json"
    index = json.loads((layout / "index.json").read_text())
    manifest = _blob(layout, index["manifests"][0]["digest"])
    yield manifest
    described = json.loads(manifest.read_text())
    yield _blob(layout, described["config"]["digest"])
    for layer in described["layers"]:
        blob = _blob(layout, layer["digest"])
        if blob.name not in known:
            yield blob


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _import(runtime: Containerd, layout: Path, files: Iterator[Path]) -> None:
    argv = runtime.words("images", "import", "-")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        with tarfile.open(fileobj=process.stdin, mode="w|") as tar:
            for file in files:
                tar.add(file, str(file.relative_to(layout)))
        process.stdin.close()
        process.stdin = None
        _, error = process.communicate()
    if process.returncode != 0:
        raise ClusterError(f"ctr images import failed: {error.decode()[-400:]}")
