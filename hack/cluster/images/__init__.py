"""Images: built from our Dockerfiles or from one program, named by content, loaded where the pods run.

images.ensure("operator")                       # built, and in the cluster when it runs → full reference
images.run("worker-cpu", ["python", "-V"], {})  # a command in a built image, without a cluster
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster import engine, machine
from hack.cluster.cache import cache_root, state_root
from hack.cluster.containerd import Containerd
from hack.cluster.images import base, buildah, components, transfer
from hack.cluster.progress import Steps

OURS = ("operator", "gateway", "worker-cpu")
"""What a cluster of this machine runs."""


def reference(name: str) -> str:
    """The full name that the present sources give."""
    return components.reference(name, base.PUBLIC if engine.answers() else base.KEY)


def build(name: str, steps: Steps | None = None) -> str:
    """Build unless there is an image of exactly these sources; return its reference."""
    shown, chosen, wanted = steps or Steps(), components.component(name), reference(name)
    log = cache_root() / "logs" / f"image-{name}.log"
    if engine.answers():
        if not engine.has(wanted):
            with shown.step(f"build image {name}", log):
                engine.build(chosen, wanted, base.PUBLIC, log)
        return wanted
    machine.require(shown)
    with buildah.exclusive():
        if not buildah.has(wanted):
            below = base.ensure(shown)
            with shown.step(f"build image {name}", log):
                buildah.build(chosen, wanted, below, log)
            buildah.remove_others(chosen.repository, chosen.prefix, wanted)
    return wanted


def load(name: str, steps: Steps | None = None) -> str:
    """Build, and bring into the cluster that runs."""
    shown, chosen, wanted = steps or Steps(), components.component(name), reference(name)
    log = cache_root() / "logs" / f"load-{name}.log"
    if engine.answers():
        build(name, shown)
        with shown.step(f"load image {name}", log):
            engine.load(wanted, log)
        return wanted
    runtime = _runtime()
    if wanted not in runtime.images():
        build(name, shown)
        with buildah.exclusive(), shown.step(f"load image {name}", log):
            transfer.load(runtime, wanted, log)
            runtime.remove_images(_older(runtime, chosen, wanted))
    return wanted


def ensure(name: str, steps: Steps | None = None) -> str:
    """Build, load where a cluster runs, and return the full reference."""
    if engine.answers():
        return load(name, steps) if engine.cluster_runs() else build(name, steps)
    return load(name, steps) if _runtime().serves() else build(name, steps)


def run(
    name: str,
    command: Sequence[str],
    mounts: Mapping[Path, str] | None = None,
    *,
    user: str | None = None,
    steps: Steps | None = None,
) -> str:
    """Standard output of a command in the image; `mounts` is host folder → folder inside."""
    wanted = build(name, steps)
    if engine.answers():
        return engine.run(wanted, command, mounts or {}, user)
    with buildah.exclusive():
        return buildah.run(wanted, command, mounts or {}, user)


def _runtime() -> Containerd:
    return Containerd(state_root() / "full" / "node" / "containerd")


def _older(runtime: Containerd, chosen: components.Component, keep: str) -> list[str]:
    """Images of the component that no container needs any more."""
    ours = f"{chosen.repository}:{chosen.prefix}"
    used = runtime.used_images()
    return [name for name in runtime.images() if name.startswith(ours) and name != keep and name not in used]
