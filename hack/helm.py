"""Helm, built once and kept in the cache, on the project's one chart."""

from pathlib import Path

from hack.cluster import binaries, command
from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps

CHART = REPOSITORY / "charts" / "llmservice"
RELEASE = "llmservice"
NAMESPACE = "llmservice-system"


def helm(*words: str, kubeconfig: Path | None = None, stdin: str | None = None, steps: Steps | None = None) -> str:
    """Standard output of helm in the release's namespace; no file of the user's Helm is read or written."""
    binaries.ensure(["helm"], steps or Steps())
    away = {name: "/dev/null" for name in ("HELM_REPOSITORY_CONFIG", "HELM_REGISTRY_CONFIG", "HELM_PLUGINS")}
    target = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
    argv = [binaries.path("helm"), *words, f"--namespace={NAMESPACE}", *target]
    return command.output(argv, stdin=stdin, environment=away)
