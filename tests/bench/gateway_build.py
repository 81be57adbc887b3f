"""What the gateway's benchmark runs beside the gateway: its load generator and the peers, built or installed once."""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from hack.cluster import command
from hack.cluster.cache import REPOSITORY, cache_root, locked
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

_SOURCE: Final = Path(__file__).parent / "gateway_load"
_FLAGS: Final = ("-trimpath", "-ldflags", "-s -w")


def load_generator(steps: Steps) -> Path:
    """The program of tests/bench/gateway_load, kept under the hash of its source."""
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for file in sorted(_SOURCE.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    target = cache_root() / "bin" / f"gateway-load-{digest.hexdigest()[:12]}" / "gateway-load"
    with locked("build-gateway-load"):
        if not target.is_file():
            log = cache_root() / "logs" / "build-gateway-load.log"
            with steps.step("build the load generator (once)", log):
                _need("go", "Go 1.25 or newer (https://go.dev/dl)")
                draft = target.with_suffix(".draft")
                argv: list[str | Path] = ["go", "build", *_FLAGS, "-o", draft, "."]
                command.logged(argv, log, environment={"CGO_ENABLED": "0"}, directory=_SOURCE)
                draft.rename(target)
    return target


def virtual_environment(name: str, steps: Steps) -> Path:
    """`bin` of a virtual environment with requirements/bench-<name>.txt, kept under the hash of that file."""
    requirements = REPOSITORY / "requirements" / f"bench-{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    target = cache_root() / "venvs" / f"bench-{name}-{digest}"
    with locked(f"venv-bench-{name}"):
        if not (target / "made").is_file():
            log = cache_root() / "logs" / f"venv-bench-{name}.log"
            with steps.step(f"install {requirements.name} (once)", log):
                shutil.rmtree(target, ignore_errors=True)
                command.logged([sys.executable, "-m", "venv", target], log)
                pip: list[str | Path] = [target / "bin" / "python", "-m", "pip", "install", "--require-hashes"]
                command.logged([*pip, "-r", requirements], log)
                (target / "made").touch()
    return target / "bin"


def nginx() -> str:
    """The program; raises ClusterError where there is none."""
    return _need("nginx", "nginx (Debian: apt-get install nginx-light)", extra="/usr/sbin")


def haproxy() -> str:
    """The same program that the gateway runs; raises ClusterError where there is none."""
    return _need("haproxy", "HAProxy (Debian: apt-get install haproxy)", extra="/usr/sbin")


def _need(program: str, what: str, extra: str = "") -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{extra}")
    if found is None:
        raise ClusterError(f"{program} is not on PATH: install {what}")
    return found
