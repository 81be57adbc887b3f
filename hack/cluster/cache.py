"""Where things lie: what survives (cache), what lives as long as a cluster (state), what users read (build)."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).resolve().parent / "tools"
SYSTEM_STATE = Path("/var/lib/llmservice-cluster")
BUILD = Path(os.environ.get("LLMSERVICE_BUILD") or REPOSITORY / "build" / "cluster")
"""What users read: kubeconfig files, a folder for PATH."""


def cache_root() -> Path:
    """Binaries, images, models: kept for ever, keyed by version or content."""
    return Path(os.environ.get("LLMSERVICE_CACHE") or Path.home() / ".cache" / "llmservice")


def state_root() -> Path:
    """Certificates, etcd data, logs, process records, sockets: gone after down."""
    chosen = os.environ.get("LLMSERVICE_STATE")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return SYSTEM_STATE
    return Path.home() / ".local" / "state" / "llmservice-cluster"


def full_state() -> Path:
    """What a full cluster keeps, its volumes' folders included."""
    return state_root() / "full"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock `name` against every other process that shares the cache."""
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
