"""An image of a single static program, written as an OCI archive without any builder."""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NONROOT = 65532


@dataclass(frozen=True)
class Program:
    """A static executable that is its image's entry point."""

    reference: str
    file: Path
    name: str


def write(program: Program, archive: Path) -> None:
    """Write the archive; equal input gives equal bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    layer = archive.with_suffix(".layer")
    _write_layer(program, layer)
    try:
        _write_archive(program, layer, archive)
    finally:
        layer.unlink()


def _write_layer(program: Program, layer: Path) -> None:
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder, mode in (("tmp", 0o1777), ("etc", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add_text(tar, "etc/passwd", f"nonroot:x:{NONROOT}:{NONROOT}::/tmp:/sbin/nologin\n")
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.file.stat().st_size, 0o755
        with program.file.open("rb") as stream:
            tar.addfile(entry, stream)


def _write_archive(program: Program, layer: Path, archive: Path) -> None:
    with layer.open("rb") as stream:
        layer_digest = hashlib.file_digest(stream, "sha256").hexdigest()
    config = _encoded(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": f"{NONROOT}:{NONROOT}", "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    )
    oci = "application/vnd.oci.image"
    manifest = _encoded(
        {
            "schemaVersion": 2,
            "mediaType": f"{oci}.manifest.v1+json",
            "config": _descriptor(f"{oci}.config.v1+json", config),
            "layers": [
                {
                    "mediaType": f"{oci}.layer.v1.tar",
                    "digest": f"sha256:{layer_digest}",
                    "size": layer.stat().st_size,
                }
            ],
        }
    )
    described = _descriptor(f"{oci}.manifest.v1+json", manifest)
    described["annotations"] = {
        "io.containerd.image.name": program.reference,
        "org.opencontainers.image.ref.name": program.reference,
    }
    index = _encoded({"schemaVersion": 2, "manifests": [described]})
    with tarfile.open(archive, "w") as tar:
        _add_text(tar, "oci-layout", '{"imageLayoutVersion":"1.0.0"}')
        _add_text(tar, "index.json", index.decode())
        for blob in (config, manifest):
            _add_text(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob.decode())
        tar.add(layer, f"blobs/sha256/{layer_digest}")


def _encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    tar.addfile(entry, io.BytesIO(text.encode()))
