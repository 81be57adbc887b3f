"""Everything that a run needs, real but for the engine: two gateways, a worker, a ledger and its database."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from tests.chaos import worker
from tests.chaos.kills import Part
from tests.chaos.processes import GatewayProcess, Place, WorkerProcess
from tests.integration import ledger_stack
from tests.integration.ledger_stack import GATEWAY_TOKEN, LedgerProcess, ledger_running
from tests.integration.postgresql_server import PostgreSQL, postgresql_running
from tests.integration.relay import Relay, relayed
from tests.unit.gateway.builders import apikey, llmservice, secret_key
from tests.unit.gateway.ledger.builders import Json, budget

Database = Literal["sqlite", "postgresql"]
DATABASES: Final[Sequence[Database]] = ("sqlite", "postgresql")
KEY: Final = secret_key(1)
_LIMITS: Final = {"requestsPerMinute": 1_000_000_000, "tokensPerMinute": 1_000_000_000, "parallel": 10_000}
_VICTIMS: Final = {"gateway": ("haproxy", "agent"), "agent": ("agent",), "haproxy": ("haproxy",)}
"""Of a gateway's two processes those that are killed; the other ends with them."""


@dataclass(frozen=True)
class Site:
    """`parts`: what can be killed, by name. `relay`: between the worker and the ledger."""

    folder: Path
    ledger: ledger_stack.Stack
    relay: Relay
    worker: WorkerProcess
    gateways: Sequence[GatewayProcess]
    parts: Mapping[str, Sequence[Part]]

    def spooled(self) -> list[Path]:
        """What the worker has not sent, and what was refused."""
        return [each for each in (self.folder / worker.SPOOL).iterdir() if each.stat().st_size]


@dataclass(frozen=True)
class Variables:
    """What stands in the environment of our processes beside the usual."""

    ledger: Mapping[str, str] = field(default_factory=dict)
    worker: Mapping[str, str] = field(default_factory=dict)
    gateways: Mapping[str, str] = field(default_factory=dict)


NO_VARIABLES: Final = Variables()


@asynccontextmanager
async def site_running(folder: Path, database: Database, variables: Variables = NO_VARIABLES) -> AsyncIterator[Site]:
    """All of it, ready."""
    async with AsyncExitStack() as stack:
        settings = dict(variables.ledger)
        server = await stack.enter_async_context(postgresql_running()) if database == "postgresql" else None
        if server is not None:
            (folder / "dsn").write_text(server.dsn)
            settings["LLMSERVICE_LEDGER_DSN_FILE"] = str(folder / "dsn")
        ledger = await stack.enter_async_context(ledger_running(folder, None, **settings))
        relay = stack.enter_context(relayed("127.0.0.1", ledger.ledger.port))
        token = ledger.cluster.worker_token(worker.NAMESPACE)
        one = WorkerProcess(_place(folder, variables.worker, relay.url, token))
        for kind, raw in _objects(one.address).items():
            ledger.cluster.put(kind, raw)
        stack.push_async_callback(one.stop)
        await one.start()
        place = _place(folder, variables.gateways, ledger.ledger.url, GATEWAY_TOKEN)
        gateways = [GatewayProcess(name, place) for name in ("a", "b")]
        for each in gateways:
            stack.push_async_callback(each.stop)
            await each.start()
        yield Site(folder, ledger, relay, one, gateways, _parts(gateways, ledger.ledger, server))


def _parts(
    gateways: Sequence[GatewayProcess], ledger: LedgerProcess, server: PostgreSQL | None
) -> Mapping[str, Sequence[Part]]:
    turns, turn = [asyncio.Lock() for _ in gateways], asyncio.Lock()
    found: dict[str, Sequence[Part]] = {
        name: [Part(partial(each.kill, *victims), each.start, own) for each, own in zip(gateways, turns, strict=True)]
        for name, victims in _VICTIMS.items()
    }
    found["ledger"] = [Part(partial(_kill_ledger, ledger), ledger.start, turn)]
    if server is not None:
        # One turn for both: a ledger that starts without its database ends, and the kubelet's part is not played here.
        found["postgresql"] = [Part(partial(_kill_postgresql, server), server.start, turn)]
    return found


async def _kill_ledger(ledger: LedgerProcess) -> Sequence[int]:
    found = ledger.pid
    await ledger.kill()
    return [found]


async def _kill_postgresql(server: PostgreSQL) -> Sequence[int]:
    found = server.pid
    await asyncio.to_thread(server.kill)
    return [found]


def _place(folder: Path, variables: Mapping[str, str], ledger_url: str, token: str) -> Place:
    path = folder / f"{token}.token"
    path.write_text(token)
    return Place(folder, folder / "kubeconfig", ledger_url, path, variables)


def _objects(address: str) -> dict[str, Json]:
    key = apikey(1, worker.NAMESPACE, limits=_LIMITS)
    key["spec"]["budgetRef"] = {"name": "large"}
    return {
        "llmservices": llmservice(worker.MODEL, worker.NAMESPACE, address=address),
        "budgets": budget("large", worker.NAMESPACE, window="Month", tokens=10**15),
        "apikeys": key,
    }
