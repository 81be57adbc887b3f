"""Our images: a Dockerfile each, and a tag that is the hash of everything the build reads."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.cache import REPOSITORY
from hack.cluster.failure import ClusterError


@dataclass(frozen=True)
class Component:
    """One image: its Dockerfile's folder, build arguments, and what its tag begins with."""

    folder: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    @property
    def dockerfile(self) -> Path:
        return REPOSITORY / self.folder / "Dockerfile"

    @property
    def repository(self) -> str:
        return f"docker.io/llmservice/{self.folder}"


COMPONENTS: Mapping[str, Component] = {
    "operator": Component("operator"),
    "gateway": Component("gateway"),
    "worker-cpu": Component("worker", {"TARGET": "cpu"}, "cpu-"),
    "worker-cuda": Component("worker", {"TARGET": "cuda"}, "cuda-"),
}


def component(name: str) -> Component:
    """The component of a name, or an error that lists the names."""
    if name not in COMPONENTS:
        raise ClusterError(f"there is no image {name}: choose from {', '.join(COMPONENTS)}")
    return COMPONENTS[name]


def reference(name: str, base: str) -> str:
    """The image's full name; `base` is the key of what it is built on."""
    chosen = component(name)
    if not chosen.dockerfile.is_file():
        raise ClusterError(f"{chosen.folder}/Dockerfile is not there")
    digest = hashlib.sha256(repr((base, sorted(chosen.arguments.items()))).encode())
    for file in (chosen.dockerfile, *_files(copied(chosen))):
        digest.update(f"{file.relative_to(REPOSITORY)}\0{_mode(file)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{chosen.repository}:{chosen.prefix}{digest.hexdigest()[:12]}"


def copied(chosen: Component) -> list[Path]:
    """The files and folders that the Dockerfile's COPY lines take from the repository."""
    text = chosen.dockerfile.read_text().replace("\\\n", " ")
    found: list[Path] = []
    for line in re.findall(r"^(?:COPY|ADD)\s+(.*)$", text, re.MULTILINE):
        words = line.split()
        if any(word.startswith("--from=") for word in words):
            continue
        sources = [word for word in words if not word.startswith("--")][:-1]
        found += [REPOSITORY / _substituted(source, chosen.arguments) for source in sources]
    missing = [path for path in found if not path.exists()]
    if missing:
        raise ClusterError(
            f"{chosen.folder}/Dockerfile copies {missing[0].relative_to(REPOSITORY)}, which is not there"
        )
    return found


def _substituted(word: str, arguments: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: arguments.get(found.group(1), found.group(0)), word)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in inside if file.is_file() and "__pycache__" not in file.parts)


def _mode(file: Path) -> str:
    return "x" if file.stat().st_mode & 0o100 else "-"
