"""Docker and kind, where an engine answers: the commands that take the place of buildah and of our own node."""

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hack.cluster import command
from hack.cluster.cache import REPOSITORY, cache_root
from hack.cluster.failure import ClusterError

if TYPE_CHECKING:
    from hack.cluster.images.components import Component

CLUSTER = "llmservice"
KIND_VERSION = "v0.30.0"


@functools.cache
def answers() -> bool:
    """Whether a Docker engine (not only its client) is there."""
    return command.succeeds(["docker", "version", "--format", "{{.Server.Version}}"])


def has(reference: str) -> bool:
    return command.succeeds(["docker", "image", "inspect", reference])


def kind() -> Path:
    """The kind that is on PATH, or else the one of the cache."""
    found = shutil.which("kind")
    return Path(found) if found else cache_root() / "bin" / f"kind-{KIND_VERSION}" / "kind"


def ensure_kind(log: Path) -> None:
    """Build kind where it is not installed."""
    if kind().is_file():
        return
    if shutil.which("go") is None:
        raise ClusterError("Docker answers, but kind and Go are missing: install one (https://kind.sigs.k8s.io)")
    environment = {"GOBIN": str(kind().parent), "CGO_ENABLED": "0"}
    command.logged(["go", "install", f"sigs.k8s.io/kind@{KIND_VERSION}"], log, environment=environment)


def cluster_runs() -> bool:
    return kind().is_file() and CLUSTER in command.output([kind(), "get", "clusters"]).split()


def build_words(component: "Component", reference: str, base: str) -> list[str]:
    """The command that builds a component."""
    arguments = [f"--build-arg={name}={value}" for name, value in {"BASE": base, **component.arguments}.items()]
    return ["docker", "build", *arguments, f"--file={component.dockerfile}", f"--tag={reference}", str(REPOSITORY)]


def build(component: "Component", reference: str, base: str, log: Path) -> None:
    command.logged(build_words(component, reference, base), log)


def load(reference: str, log: Path) -> None:
    """Bring an image into kind's node."""
    command.logged([kind(), "load", "docker-image", "--name", CLUSTER, reference], log)


def run_words(reference: str, argv: Sequence[str], mounts: Mapping[Path, str], user: str | None) -> list[str]:
    volumes = [f"--volume={host}:{inside}" for host, inside in mounts.items()]
    chosen = [f"--user={user}"] if user else []
    return ["docker", "run", "--rm", *volumes, *chosen, "--entrypoint=", reference, *argv]


def run(reference: str, argv: Sequence[str], mounts: Mapping[Path, str], user: str | None) -> str:
    return command.output(run_words(reference, argv, mounts, user))
