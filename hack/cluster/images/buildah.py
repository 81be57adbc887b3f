"""buildah without a daemon: a storage of our own in the cache, RUN steps in a chroot."""

import configparser
import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hack.cluster import command, host
from hack.cluster.cache import REPOSITORY, cache_root, locked
from hack.cluster.images.components import Component

IGNORED = REPOSITORY / ".dockerignore"
HOST_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_AUTHORITIES = "/run/host-authorities.crt"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


def words(*arguments: str | Path) -> list[str]:
    """A buildah command line on our storage."""
    places = ["--root", storage(), "--runroot", run_root(), "--storage-driver", "overlay"]
    return [str(word) for word in ("buildah", *places, *arguments)]


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """The storage for one user at a time; mounts that buildah leaves behind are gone at the end."""
    with locked("images"):
        try:
            yield
        finally:
            host.unmount_below([storage()])


def storage() -> Path:
    """Layers and images."""
    return cache_root() / "buildah"


def run_root() -> Path:
    """Locks and mount counts."""
    return cache_root() / "buildah-run"


def has(reference: str) -> bool:
    return command.succeeds(words("inspect", "--type", "image", reference))


def build_words(component: Component, reference: str, base: str, mounts: Sequence[str] = ()) -> list[str]:
    """The command that builds a component on `base`."""
    arguments = [f"--build-arg={name}={value}" for name, value in {"BASE": base, **component.arguments}.items()]
    return words(
        "build",
        "--isolation=chroot",
        "--layers",
        "--pull-never",
        *arguments,
        *(f"--volume={mount}" for mount in mounts),
        f"--ignorefile={IGNORED}",
        f"--file={component.dockerfile}",
        f"--tag={reference}",
        REPOSITORY,
    )


def build(component: Component, reference: str, base: str, log: Path) -> None:
    """Build with this machine's certificate authorities and pip settings, of which none stays in the image."""
    with _pip_settings() as mounts:
        command.logged(build_words(component, reference, base, mounts), log)


@contextlib.contextmanager
def container(reference: str) -> Iterator[str]:
    """A working container, removed at the end."""
    name = f"llmservice-{secrets.token_hex(4)}"
    command.output(words("from", "--pull-never", f"--name={name}", reference))
    try:
        yield name
    finally:
        command.output(words("rm", name))


def run(reference: str, argv: Sequence[str], mounts: Mapping[Path, str], user: str | None = None) -> str:
    """Standard output of a command inside the image; `mounts` is host folder → folder inside."""
    volumes = [f"--volume={host}:{inside}" for host, inside in mounts.items()]
    chosen = [f"--user={user}"] if user else []
    with container(reference) as name:
        return command.output(words("run", "--isolation=chroot", *volumes, *chosen, name, "--", *argv))


def remove_others(repository: str, prefix: str, keep: str) -> None:
    """Remove the older images of a component; their shared layers stay."""
    listed = command.output(words("images", "--format", "{{.Name}}:{{.Tag}}")).split()
    for reference in listed:
        if reference != keep and reference.startswith(f"{repository}:{prefix}"):
            command.output(words("rmi", reference))


@contextlib.contextmanager
def _pip_settings() -> Iterator[list[str]]:
    """Mounts for the build: authorities under a name that no package writes to, and a pip.conf that names them."""
    if not HOST_AUTHORITIES.is_file():
        yield []
        return
    config = configparser.ConfigParser(interpolation=None)
    config["global"] = {"cert": BUILD_AUTHORITIES, **from_environment(os.environ)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pip.conf"
        with file.open("w") as stream:
            config.write(stream)
        yield [f"{HOST_AUTHORITIES}:{BUILD_AUTHORITIES}:ro", f"{file}:/etc/pip.conf:ro"]


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """pip's settings of this machine that make sense inside a build."""
    names = {name: f"PIP_{name.replace('-', '_').upper()}" for name in PIP_SETTINGS}
    return {name: environment[variable] for name, variable in names.items() if variable in environment}
