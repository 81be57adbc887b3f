"""Helm, built once and kept in the cache, on the project's one chart."""

from pathlib import Path

from hack.cluster import binaries, command
from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps

CHART = REPOSITORY / "charts" / "llmservice"
RELEASE = "llmservice"
NAMESPACE = "llmservice-system"


def helm(*words: str, kubeconfig: Path | None = None, stdin: str | None = None, steps: Steps | None = None) -> str:
    """Standard output of helm in the release's namespace."""
    binaries.ensure(["helm"], steps or Steps())
    target = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
    return command.output([binaries.path("helm"), *words, f"--namespace={NAMESPACE}", *target], stdin=stdin)
