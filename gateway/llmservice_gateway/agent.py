"""Keeps HAProxy's maps at what the cluster's objects say.

source ── event ──> inventory ── desired_maps ──> wanted ── changes(held, wanted) ──> HAProxy
                                                                 held: what HAProxy was told; read anew at
                                                                 the start, at intervals and after a failure
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

from llmservice_gateway.bell import Bell
from llmservice_gateway.catalog import Catalog
from llmservice_gateway.desired import NAMES, Maps, desired_maps
from llmservice_gateway.mapdiff import changes
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import Key, Service
from llmservice_gateway.runtime import MapStore, RuntimeFailed
from llmservice_gateway.source import Inventory, ObjectSource

_LOG: Final = logging.getLogger(__name__)


class Agent:
    """One agent beside one HAProxy. `clock` gives seconds since the epoch; `resync` and `retry` are in seconds."""

    def __init__(
        self,
        source: ObjectSource,
        store: MapStore,
        metrics: Metrics,
        probe_digest: str,
        clock: Callable[[], float],
        resync: float,
        retry: float = 0.5,
    ) -> None:
        self.catalog = Catalog()
        self.maps: Maps = {name: {} for name in NAMES}
        self.changes = Bell()
        self.ready = False
        self._source = source
        self._store = store
        self._metrics = metrics
        self._probe_digest = probe_digest
        self._clock = clock
        self._resync = resync
        self._retry = retry
        self._inventory = Inventory()
        self._changed = asyncio.Event()
        self._held: Maps | None = None
        self._known: Mapping[str, Key] = {}

    @property
    def keys(self) -> Collection[Key]:
        """The keys that HAProxy knows, each once."""
        return self._known.values()

    def service(self, route: str) -> Service | None:
        """The service of a route, as HAProxy knows it."""
        return self.catalog.services.get(route)

    async def run(self) -> None:
        """Runs until cancelled; a failure of the source's making ends it, one of HAProxy's is tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._write())

    async def _listen(self) -> None:
        async for event in self._source.events():
            self._inventory.take(event)
            if self._inventory.complete:
                self._changed.set()

    async def _write(self) -> None:
        await self._changed.wait()
        while True:
            self._changed.clear()
            try:
                await self._synchronise()
            except RuntimeFailed as error:
                self._held = None
                self._metrics.failures.labels("haproxy").inc()
                _LOG.warning("maps not written, trying again: %s", error)
                await asyncio.sleep(self._retry)
                continue
            await self._wait()

    async def _wait(self) -> None:
        """Returns at the next change, or when it is time to compare with HAProxy anew."""
        try:
            async with asyncio.timeout(self._resync):
                await self._changed.wait()
        except TimeoutError:
            self._held = None

    async def _synchronise(self) -> None:
        services, keys = self._inventory.services, self._inventory.keys
        wanted = desired_maps(services.values(), keys.values(), self._probe_digest)
        held = self._held if self._held is not None else await self._store.read()
        todo = changes(held, wanted)
        await self._store.apply(todo)
        self._held = wanted
        self.catalog = Catalog(dict(services), {proof.id: key for key in keys.values() for proof in key.proofs})
        self.ready = True
        self._known = dict(keys)
        self.maps = wanted
        self.changes.ring()
        self._measure(wanted, Counter(change.map for change in todo))

    def _measure(self, maps: Maps, changed: Counter[str]) -> None:
        ready = sum(not value.startswith("-") for value in maps["routes"].values())
        self._metrics.routes.labels("true").set(ready)
        self._metrics.routes.labels("false").set(len(maps["routes"]) - ready)
        self._metrics.keys.set(len(maps["keys"]) - 1)
        self._metrics.synced.set(self._clock())
        for name, count in changed.items():
            self._metrics.changes.labels(name).inc(count)
