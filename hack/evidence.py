"""What to look at when something does not come up: pods, Events, conditions, the tails of logs, in one file."""

from collections.abc import Iterable
from pathlib import Path

from hack.cluster.api import Api
from hack.cluster.cache import REPOSITORY
from hack.cluster.failure import ClusterError
from hack.helm import NAMESPACE

FOLDER = REPOSITORY / "build" / "demo"
LINES = 40


def of_installation(kubeconfig: Path) -> Path:
    """Why operator or gateway are not ready."""
    asked = [
        ("get", "pods", "--namespace", NAMESPACE, "--output=wide"),
        _events(NAMESPACE),
        *(_log(NAMESPACE, f"deployment/{name}") for name in ("operator", "gateway")),
    ]
    return _written("installation", kubeconfig, asked)


def of_service(kubeconfig: Path, namespace: str, name: str) -> Path:
    """Why an LLMService is not Ready."""
    conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{'\\n'}{end}"
    selector = f"--selector=llmservice.io/service={name}"
    asked = [
        ("logs", "--namespace", namespace, selector, "--all-containers", f"--tail={LINES}", "--prefix"),
        _events(namespace),
        _log(NAMESPACE, "deployment/operator"),
        ("get", "pods", "--namespace", namespace, "--output=wide"),
        ("get", "llmservice", name, "--namespace", namespace, f"--output={conditions}"),
    ]
    return _written(f"llmservice-{namespace}-{name}", kubeconfig, asked)


def _events(namespace: str) -> tuple[str, ...]:
    return ("events", "--namespace", namespace, "--types=Warning")


def _log(namespace: str, what: str) -> tuple[str, ...]:
    return ("logs", "--namespace", namespace, what, "--all-pods", "--prefix", f"--tail={LINES}")


def _written(name: str, kubeconfig: Path, asked: Iterable[tuple[str, ...]]) -> Path:
    """The answers in a file, the most telling last."""
    parts = []
    for words in asked:
        try:
            answer = Api(kubeconfig).kubectl(*words)
        except ClusterError as error:
            answer = str(error)
        parts.append(f"── kubectl {' '.join(words)}\n{answer.rstrip()}\n")
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.log"
    path.write_text("\n".join(parts))
    return path
