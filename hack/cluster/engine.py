"""Docker and kind, where an engine answers: the commands that take the place of buildah and of our own node."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hack.cluster import command
from hack.cluster.cache import REPOSITORY

if TYPE_CHECKING:
    from hack.cluster.images.components import Component

CLUSTER = "llmservice"


@functools.cache
def answers() -> bool:
    """Whether a Docker engine (not only its client) is there."""
    return command.succeeds(["docker", "version", "--format", "{{.Server.Version}}"])


def has(reference: str) -> bool:
    return command.succeeds(["docker", "image", "inspect", reference])


def cluster_runs() -> bool:
    return (
        CLUSTER in command.output(["kind", "get", "clusters"]).split()
        if command.succeeds(["kind", "version"])
        else False
    )


def build_words(component: "Component", reference: str, base: str) -> list[str]:
    """The command that builds a component."""
    arguments = [f"--build-arg={name}={value}" for name, value in {"BASE": base, **component.arguments}.items()]
    return ["docker", "build", *arguments, f"--file={component.dockerfile}", f"--tag={reference}", str(REPOSITORY)]


def build(component: "Component", reference: str, base: str, log: Path) -> None:
    command.logged(build_words(component, reference, base), log)


def load(reference: str, log: Path) -> None:
    """Bring an image into kind's node."""
    command.logged(["kind", "load", "docker-image", "--name", CLUSTER, reference], log)


def run_words(reference: str, argv: Sequence[str], mounts: Mapping[Path, str], user: str | None) -> list[str]:
    volumes = [f"--volume={host}:{inside}" for host, inside in mounts.items()]
    chosen = [f"--user={user}"] if user else []
    return ["docker", "run", "--rm", *volumes, *chosen, "--entrypoint=", reference, *argv]


def run(reference: str, argv: Sequence[str], mounts: Mapping[Path, str], user: str | None) -> str:
    return command.output(run_words(reference, argv, mounts, user))
