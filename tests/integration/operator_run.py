"""The operator itself, whole, in a thread of the test's process; only the one-token requests are the test's."""

import asyncio
import base64
import gc
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from llmservice_operator.__main__ import run
from llmservice_operator.observed import Install, Probe, Question
from llmservice_operator.settings import Settings
from tests.eventually import eventually
from tests.integration.client import VERSIONS
from tests.integration.conftest import INSTALL_NAMESPACE, audited
from tests.integration.gateway_stack import free_ports

USER = "operator-under-test"
PEPPER = bytes(range(32))
PUBLIC = "https://llm.example.com"
LEASE_S = 60
"""So that a machine that has no time for the operator takes nobody's leadership."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@dataclass
class Tokens:
    """Stands for the requests of one token: what each way answers."""

    engine_answer: Probe = field(default_factory=Probe)
    route_answer: Probe = field(default_factory=Probe)
    replica_answer: dict[str, Any] | None = None
    asked: list[str] = field(default_factory=list)

    async def engine(self, address: str, question: Question) -> Probe:
        """To a revision's Service."""
        self.asked.append(f"{question.model} at {address}")
        return self.engine_answer

    async def cause(self, address: str) -> str:
        """No replica here says why it has no engine."""
        self.asked.append(f"why at {address}")
        return ""

    async def progress(self, address: str) -> dict[str, Any] | None:
        """No pod here downloads."""
        self.asked.append(f"progress at {address}")
        return None

    async def replica(self, address: str) -> dict[str, Any] | None:
        """A replica, of itself."""
        self.asked.append(f"state at {address}")
        return self.replica_answer

    async def adapters(self, address: str) -> list[dict[str, Any]] | None:
        """No replica here has adapters."""
        self.asked.append(f"adapters at {address}")
        return None

    async def route(self, namespace: str, name: str, question: Question, address: str) -> Probe:
        """Through the gateway."""
        self.asked.append(f"{question.model} through /{namespace}/{name} to {address}")
        return self.route_answer


@dataclass
class Running:
    """An operator that runs."""

    plane: ControlPlane
    tokens: Tokens
    port: int
    begin: int
    loop: asyncio.AbstractEventLoop

    def writes(self) -> list[str]:
        """What it has written since it started, as `verb plural name`; Leases are not in the log."""
        found = [entry for entry in self.entries() if entry["verb"] in WRITES]
        return [
            f"{entry['verb']} {entry['objectRef']['resource']} {entry['objectRef'].get('name', '')}" for entry in found
        ]

    def relists(self) -> int:
        """How often it has listed GPUPools since it started."""
        return sum(entry["verb"] == "list" and entry["objectRef"]["resource"] == "gpupools" for entry in self.entries())

    def after_relists(self, count: int) -> None:
        """Wait until it has relisted so often again, so that all that it does by itself is done."""
        goal = self.relists() + count
        wait_until(lambda: self.relists() >= goal, f"{count} more relists", timeout=60)

    def entries(self) -> list[dict[str, Any]]:
        """What it has asked since it started, as the API server has logged it."""
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
        lease_seconds=LEASE_S,
    )
    begin = len(audited(plane, USER))
    tokens = Tokens()
    with _as_user(plane), _in_a_thread(settings, tokens) as loop:
        found = Running(plane, tokens, settings.port, begin, loop)
        watched = set(VERSIONS) - {"rayservices", "leases"}
        wait_until(lambda: watched <= _watched(found), "the operator watches", timeout=60)
        yield found


def _watched(running: Running) -> set[str]:
    return {entry["objectRef"]["resource"] for entry in running.entries() if entry["verb"] == "watch"}


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
def _in_a_thread(settings: Settings, tokens: Tokens) -> Iterator[asyncio.AbstractEventLoop]:
    ended: Future[None] = Future()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def main() -> None:
        task = asyncio.create_task(run(settings, tokens))
        begun.set_result((asyncio.get_running_loop(), task))
        await asyncio.wait({task})
        await connections_closed()
        if not task.cancelled():
            task.result()

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 — it is raised in the test
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=work, name="operator", daemon=True).start()
    loop, task = begun.result(timeout=30)
    try:
        yield loop
    finally:
        if not ended.done():
            loop.call_soon_threadsafe(task.cancel)
        ended.result(timeout=30)
        gc.collect()  # what it left unclosed is told here, not in the middle of another test


async def connections_closed() -> None:
    """aiohttp ends a TLS connection in the background, which a loop that has stopped would leave undone."""
    sockets: Any = asyncio.get_running_loop()._selector.get_map  # type: ignore[attr-defined]
    await eventually(lambda: len(sockets()) == 1)  # the loop's own stays
