"""The ledger's core: stores events, knows what was spent, tells gateways.

post ──► entries ──► database (one transaction) ──► spending, counts ──► blocks, version ──► long polls of gateways
cluster ──► registry ───────────────────────────────────────────────────┘
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from llmservice_gateway.ledger.budgets import Block, Spending, blocks, window_starts
from llmservice_gateway.ledger.counts import KEPT, Counts, Use
from llmservice_gateway.ledger.entries import Entry, affordable, entry, settled, spendings
from llmservice_gateway.ledger.event import Event
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.store import Store, StoreFailed
from llmservice_gateway.ledger.windows import DAY, MINUTE
from llmservice_gateway.source import ObjectSource

_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
SWEEP_ROWS: Final = 1000


@dataclass(frozen=True)
class Stored:
    """What became of a post."""

    stored: int
    known: int


@dataclass(frozen=True)
class News:
    """What a gateway is told."""

    version: int
    keys: dict[str, Use]
    blocks: dict[str, Block]


class Ledger:
    """`clock` gives ms since 1970; `retention` is in days; `retry` is seconds between tries of what failed."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        metrics: Metrics,
        clock: Callable[[], int],
        retention: int,
        retry: float = 1.0,
    ) -> None:
        self.registry = registry
        self.spending = Spending()
        self.clock = clock
        self._store = store
        self._metrics = metrics
        self._retention = retention * DAY
        self._retry = retry
        self._counts = Counts()
        self._blocks: dict[str, Block] = {}
        self._version = clock()
        self._news = asyncio.Event()
        self._to_save = asyncio.Event()
        self._to_load = asyncio.Event()
        self._to_load.set()
        # One writer: SQLite has no more, and what is known in memory follows commits in their order.
        self._writer = ThreadPoolExecutor(1, "writer")
        self._checker = ThreadPoolExecutor(1, "checker")
        self._turn = asyncio.Lock()
        self._minute = 0
        self._certain = False
        self._loaded = False

    @property
    def ready(self) -> bool:
        """Whether it knows the cluster's objects and what was spent; before, a price or a budget could be missed."""
        return self.registry.complete and self._loaded

    async def check(self) -> None:
        """Raises StoreFailed unless the database answers."""
        await asyncio.get_running_loop().run_in_executor(self._checker, self._store.check)

    async def follow(self, source: ObjectSource) -> None:
        """Takes what happens in the cluster, until the source ends."""
        async for event in source.events():
            self.registry.take(event)
            if self.registry.unsaved:
                self._to_save.set()
            self.refresh()

    async def keep_registry(self) -> None:
        """Writes keys and prices that changed, for ever."""
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            changed = dict(self.registry.unsaved)
            try:
                await self._write(partial(self._store.save, list(changed.values())))
            except StoreFailed as error:
                _LOG.warning("keys and prices not stored, trying again: %s", error)
                self._to_save.set()
                await asyncio.sleep(self._retry)
                continue
            for place, record in changed.items():
                if self.registry.unsaved.get(place) == record:
                    del self.registry.unsaved[place]

    async def record(self, events: Sequence[Event]) -> Stored:
        """Stores events; returns after the commit.

        Raises Refused for an event that cannot be, Unsettled for one that came too early (nothing is stored then), and
        StoreFailed: then nothing is certain, send them again.
        """
        async with self._turn:
            await self._make_certain()
            now = self.clock()
            entries = [entry(each, self.registry, now, now - self._retention) for each in events]
            affordable(entries)
            settled(entries)
            self._certain = False
            with self._metrics.commit.time():
                new = await self._write(lambda: self._store.record(entries))
            self._certain = True
            self._take(new)
        known = len(events) - len(new)
        self._metrics.events.labels("stored").inc(len(new))
        self._metrics.events.labels("known").inc(known)
        return Stored(len(new), known)

    async def load(self) -> None:
        """Reads what was spent from the database; raises StoreFailed."""
        async with self._turn:
            await self._read()
            self._loaded = True
        self.refresh()

    async def keep_loaded(self) -> None:
        """Loads at the start, and where the clock went back to what memory has forgotten; for ever."""
        while True:
            await self._to_load.wait()
            self._to_load.clear()
            try:
                await self.load()
            except StoreFailed as error:
                _LOG.warning("what was spent cannot be read, trying again: %s", error)
                self._to_load.set()
                await asyncio.sleep(self._retry)

    async def sync(self, gateway: str, version: int, wait: float, requests: dict[str, tuple[int, int]]) -> News:
        """What a gateway should know, once blocks are not those of `version`, at the latest after `wait` seconds.

        `requests`: by key id, the minute and how many requests the gateway counted in it.
        """
        for key_id, (minute, count) in requests.items():
            self._counts.report(gateway, key_id, minute, count)
        self.refresh()
        if self._version == version:
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                self.refresh()
        return News(self._version, self._counts.for_gateway(gateway, self.clock() // MINUTE), self._blocks)

    def refresh(self) -> None:
        """Decides anew who is blocked, and forgets windows and minutes that have ended.

        Where the clock went back, they may not have: who is blocked stays until they are read again.
        """
        now = self.clock()
        if now // MINUTE < self._minute:
            self._loaded = False
            self._to_load.set()
        if not self._loaded:
            return
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self._counts.forget(self._minute)
            self.spending.forget(now)
        found = blocks(self.registry, self.spending, now)
        if found == self._blocks:
            return
        self._blocks = found
        self._version += 1
        self._metrics.blocked.set(len(found))
        self._news.set()
        self._news = asyncio.Event()

    async def sweep(self) -> int:
        """Deletes what is older than the retention, a little at a time; how many rows the largest part had."""
        swept = 0
        while rows := await self._write(lambda: self._store.sweep(self.clock() - self._retention, SWEEP_ROWS)):
            swept += rows
        return swept

    async def _make_certain(self) -> None:
        """After a commit whose end is not known, what is in memory may be less than what is stored."""
        if not self._certain:
            await self._read()

    async def _read(self) -> None:
        now = self.clock()
        spent = await self._write(lambda: self._store.spent(window_starts(now)))
        tokens = await self._write(lambda: self._store.tokens_since(now // MINUTE - KEPT + 1))
        self._minute = now // MINUTE
        self.spending.replace(spent)
        self._counts.forget_tokens()
        for (key_id, namespace, minute), count in tokens.items():
            self._count(key_id, namespace, minute, count)
        self._certain = True

    def _take(self, new: Sequence[Entry]) -> None:
        self.spending.add(spendings(new))
        for each in new:
            self._count(each.event.key_id, each.event.namespace, each.minute, each.tokens)
        self._metrics.stored(new)
        self.refresh()

    def _count(self, key_id: str, namespace: str, minute: int, tokens: int) -> None:
        if self.registry.key(key_id, namespace) is not None:
            # A worker's clock that is ahead would else hold back what limits are about.
            self._counts.add_tokens(key_id, min(minute, self.clock() // MINUTE), tokens)

    async def _write(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, call)
        except StoreFailed:
            self._metrics.failures.labels("database").inc()
            raise
