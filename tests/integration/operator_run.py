"""The operator itself, whole, in a thread of the test's process; only the one-token requests are the test's."""

import asyncio
import base64
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from llmservice_operator.__main__ import run
from llmservice_operator.observed import Install, Probe
from llmservice_operator.settings import Settings
from tests.integration.client import VERSIONS
from tests.integration.conftest import INSTALL_NAMESPACE, audited
from tests.integration.gateway_stack import free_ports

USER = "operator-under-test"
PEPPER = bytes(range(32))
PUBLIC = "https://llm.example.com"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@dataclass
class Tokens:
    """Stands for the requests of one token: what each way answers."""

    engine_answer: Probe = field(default_factory=Probe)
    route_answer: Probe = field(default_factory=Probe)
    asked: list[str] = field(default_factory=list)

    async def engine(self, address: str, model: str) -> Probe:
        """To a revision's Service."""
        self.asked.append(f"{model} at {address}")
        return self.engine_answer

    async def route(self, namespace: str, name: str, model: str) -> Probe:
        """Through the gateway."""
        self.asked.append(f"{model} through /{namespace}/{name}")
        return self.route_answer


@dataclass
class Running:
    """An operator that runs."""

    plane: ControlPlane
    tokens: Tokens
    port: int
    begin: int

    def writes(self) -> list[str]:
        """What it has written since it started, as `verb plural name`."""
        found = [entry for entry in self._entries() if entry["verb"] in WRITES]
        return [
            f"{entry['verb']} {entry['objectRef']['resource']} {entry['objectRef'].get('name', '')}" for entry in found
        ]

    def relists(self) -> int:
        """How often it has listed GPUPools since it started."""
        return sum(
            entry["verb"] == "list" and entry["objectRef"]["resource"] == "gpupools" for entry in self._entries()
        )

    def after_relists(self, count: int) -> None:
        """Wait until it has relisted so often again, so that all that it does by itself is done."""
        goal = self.relists() + count
        wait_until(lambda: self.relists() >= goal, f"{count} more relists", timeout=60)

    def _entries(self) -> list[dict[str, Any]]:
        return [entry for entry in audited(self.plane, USER)[self.begin :] if "objectRef" in entry]


@contextmanager
def operator(plane: ControlPlane, folder: Path, relist_seconds: float = 3600) -> Iterator[Running]:
    """Runs it until the block ends. With the long `relist_seconds` only watches can bring news."""
    pepper = folder / "pepper"
    pepper.write_text(base64.b64encode(PEPPER).decode())
    settings = Settings(
        install=Install(INSTALL_NAMESPACE, "http://gateway.invalid", PUBLIC),
        pepper_file=pepper,
        namespaces=(),
        workers=8,
        relist_seconds=relist_seconds,
        port=free_ports(1)[0],
    )
    begin = len(audited(plane, USER))
    found = Running(plane, Tokens(), settings.port, begin)
    with _as_user(plane), _in_a_thread(settings, found.tokens):
        watched = set(VERSIONS) - {"rayservices"}
        wait_until(lambda: watched <= _watched(found), "the operator watches", timeout=60)
        yield found


def _watched(running: Running) -> set[str]:
    return {entry["objectRef"]["resource"] for entry in running._entries() if entry["verb"] == "watch"}


@contextmanager
def _as_user(plane: ControlPlane) -> Iterator[None]:
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(plane.user(USER, ["system:masters"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before


@contextmanager
def _in_a_thread(settings: Settings, tokens: Tokens) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    task = loop.create_task(run(settings, tokens))
    failures: list[BaseException] = []

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 — it is raised in the test
            failures.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=work, name="operator")
    thread.start()
    try:
        yield
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        thread.join(30)
    assert not thread.is_alive(), "the operator did not stop"
    if failures:
        raise failures[0]
