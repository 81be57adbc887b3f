"""The operator as a process of its own, with a user of its own in the audit log, to be killed and stopped."""

import base64
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.integration.conftest import INSTALL_NAMESPACE, audited
from tests.integration.gateway_stack import free_ports
from tests.integration.operator_run import PEPPER, WRITES

Json = dict[str, Any]

LEASE_S = 30
"""Twice what is usual, so that a busy machine takes nobody's leadership."""


class OperatorProcess:
    """`python -m llmservice_operator`, started at once; by default it may do everything, in all namespaces."""

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        user: str,
        groups: Iterable[str] = ("system:masters",),
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._plane, self._user, self._port = plane, user, free_ports(1)[0]
        pepper = folder / "pepper"
        pepper.write_text(base64.b64encode(PEPPER).decode())
        self.log = folder / f"{user.replace(':', '-')}.log"
        inherited = {name: text for name, text in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
        own = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KUBECONFIG": str(plane.user(user, groups)),
            "LLMSERVICE_NAMESPACE": INSTALL_NAMESPACE,
            "LLMSERVICE_GATEWAY_URL": "http://gateway.invalid",
            "LLMSERVICE_PEPPER_FILE": str(pepper),
            "LLMSERVICE_PORT": str(self._port),
            "LLMSERVICE_LEASE_SECONDS": str(LEASE_S),
        }
        with self.log.open("wb") as log:
            words = (sys.executable, "-m", "llmservice_operator")
            self.process = subprocess.Popen(words, env=inherited | own | dict(settings), stdout=log, stderr=log)

    @property
    def leads(self) -> bool:
        """Whether it says so."""
        return b"llmservice_leader 1.0" in self.metrics()

    @property
    def is_ready(self) -> bool:
        """Whether it answers and its watches have begun."""
        watched = {entry["objectRef"]["resource"] for entry in self.entries() if entry["verb"] == "watch"}
        return {"llmservices", "pods", "networkpolicies"} <= watched and bool(self.metrics())

    @property
    def is_healthy(self) -> bool:
        """Whether liveness is green."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)

    def entries(self) -> list[Json]:
        """What it asked of the API server, in the order that the server received it."""
        found = [entry for entry in audited(self._plane, self._user) if "objectRef" in entry]
        return sorted(found, key=lambda entry: str(entry["requestReceivedTimestamp"]))

    def writes(self) -> list[Json]:
        """Of those the writes; Leases are not in the log."""
        return [entry for entry in self.entries() if entry["verb"] in WRITES]

    def signalled(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(timeout=30)

    def metrics(self) -> bytes:
        """What it tells Prometheus; nothing where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            return b""


@contextmanager
def two_operators(plane: ControlPlane, folder: Path, name: str) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    """One that leads and one that stands by, both watching; whatever is left of them is killed in the end."""
    leader = OperatorProcess(plane, folder, f"{name}-first")
    started = [leader]
    try:
        wait_until(lambda: leader.leads and leader.is_ready, "the first leads", timeout=60)
        started.append(OperatorProcess(plane, folder, f"{name}-second"))
        wait_until(lambda: started[1].is_ready, "the second watches", timeout=60)
        yield leader, started[1]
    finally:
        for each in started:
            each.process.kill()
            each.process.wait()
