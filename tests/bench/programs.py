"""Programs that benchmarks run beside ours: built once from Go source of this repository, or found on PATH."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from hack.cluster import command
from hack.cluster.cache import cache_root, locked
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

_FLAGS: Final = ("-trimpath", "-ldflags", "-s -w")


def built(source: Path, steps: Steps) -> Path:
    """The program of a folder of Go, kept under the hash of what is in it; ClusterError where it cannot be built."""
    name = source.name.replace("_", "-")
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for file in sorted(source.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    target = cache_root() / "bin" / f"{name}-{digest.hexdigest()[:12]}" / name
    with locked(f"build-{name}"):
        if not target.is_file():
            log = cache_root() / "logs" / f"build-{name}.log"
            with steps.step(f"build {name} (once)", log):
                found("go", "Go 1.25 or newer (https://go.dev/dl)")
                draft = target.with_suffix(".draft")
                argv: list[str | Path] = ["go", "build", *_FLAGS, "-o", draft, "."]
                command.logged(argv, log, environment={"CGO_ENABLED": "0"}, directory=source)
                draft.rename(target)
    return target


def found(program: str, what: str, extra: str = "") -> str:
    """Where a program is, on PATH or in `extra`; ClusterError that says what to install where it is not."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{extra}")
    if path is None:
        raise ClusterError(f"{program} is not on PATH: install {what}")
    return path
