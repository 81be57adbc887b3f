"""One ledger process: its server, and the tasks beside it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from llmservice_gateway.ledger.access import Access
from llmservice_gateway.ledger.app import ledger_app
from llmservice_gateway.ledger.bulkhead import Bulkhead
from llmservice_gateway.ledger.health import health_app
from llmservice_gateway.ledger.identity import Identities, Identity
from llmservice_gateway.ledger.ledger import Ledger
from llmservice_gateway.ledger.listener import listening
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.organization import add_organization
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.reporter import Reporter, Writer
from llmservice_gateway.ledger.reports import Reports
from llmservice_gateway.ledger.settings import Settings
from llmservice_gateway.ledger.store import Store, StoreFailed
from llmservice_gateway.source import ObjectSource

_LOG: Final = logging.getLogger(__name__)
_SWEEP_EVERY: Final = 3600.0


@dataclass(frozen=True)
class Parts:
    """What speaks to the cluster."""

    source: ObjectSource
    identities: Identities
    writer: Writer


class Service:
    """Serves until told to stop, or until a task ends that must not. `clock` gives ms since 1970."""

    def __init__(
        self, settings: Settings, engine: Engine, parts: Parts, metrics: Metrics, clock: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._parts = parts
        store = Store(engine)
        registry = Registry(clock, store.known_keys(), store.known_prices())
        self.ledger = Ledger(store, registry, metrics, clock, settings.retention_days)
        self._reporter = Reporter(self.ledger, parts.writer, metrics)
        access = Access(parts.identities, Identity(settings.namespace, settings.gateway_account))
        app = ledger_app(self.ledger, access, metrics)
        add_organization(app, Reports(engine), access, Bulkhead(), clock, settings.currency)
        self._apps = {settings.port: app, settings.health_port: health_app(self.ledger, metrics)}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()

    async def run(self) -> None:
        """Serves until `stop`; raises what ended a task."""
        async with AsyncExitStack() as serving:
            for port, app in self._apps.items():
                await serving.enter_async_context(listening(app, self._settings.address, port))
            await self._work()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(each)
                for each in (
                    self.ledger.follow(self._parts.source),
                    self.ledger.keep_registry(),
                    self._reporter.run(),
                    self.ledger.keep_loaded(),
                    self._sweep(),
                )
            ]
            await self._stopping.wait()
            for task in working:
                task.cancel()

    async def _sweep(self) -> None:
        while True:
            try:
                swept = await self.ledger.sweep()
                if swept:
                    _LOG.info("swept %d rows that are older than %d days", swept, self._settings.retention_days)
            except StoreFailed as error:
                _LOG.warning("old events not swept, trying again later: %s", error)
            await asyncio.sleep(_SWEEP_EVERY)
