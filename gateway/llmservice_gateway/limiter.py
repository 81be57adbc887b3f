"""Keeps what HAProxy knows of other gateways' requests, of tokens and of spent budgets at what the ledger says."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from llmservice_gateway.desired import Maps
from llmservice_gateway.ledger_client import LedgerAway
from llmservice_gateway.limits import HERE, TOLD_OF, NotUnderstood, Told, blocked, requests_here, told, windows
from llmservice_gateway.mapdiff import changes
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import Key
from llmservice_gateway.runtime import MapStore, RuntimeFailed

_LOG: Final = logging.getLogger(__name__)


class Ledger(Protocol):
    """Where all gateways' counts come together."""

    async def sync(self, body: Any, wait: float) -> Any:
        """The answer to POST /v1/sync; raises LedgerAway."""


class Counters(MapStore, Protocol):
    """HAProxy's map `blocks`, and its tables."""

    async def table(self, name: str) -> str:
        """A stick table as text; raises RuntimeFailed."""

    async def count(self, name: str, entries: Mapping[str, tuple[int, int]]) -> None:
        """Sets both counters of these entries of a stick table; raises RuntimeFailed."""


class Limiter:
    """One beside one HAProxy. `wait` is how long the ledger may hold an answer back; `clock` as time.time.

    Every `resync` what HAProxy holds is read anew, since it may have lost it. Both are in seconds.

    While the ledger is away each gateway holds limits by its own counts, and budgets stay as they were told last.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Counters,
        metrics: Metrics,
        keys: Callable[[], Collection[Key]],
        gateway: str,
        clock: Callable[[], float],
        resync: float,
        wait: float = 1.0,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._metrics = metrics
        self._keys = keys
        self._gateway = gateway
        self._clock = clock
        self._resync = resync
        self._wait = wait
        self._version = 0
        self._blocks: Mapping[str, str] = {}
        self._held: Maps | None = None
        self._counted: dict[str, tuple[int, int]] = {}
        self._compare_at = 0.0
        self._away = False

    @property
    def blocks(self) -> Mapping[str, str]:
        """Keys whose budget is spent, as the ledger said last and as HAProxy's map has them."""
        return self._blocks

    async def run(self) -> None:
        """Runs until cancelled; whatever fails is tried again."""
        loop = asyncio.get_running_loop()
        while True:
            next_turn = loop.time() + self._wait
            self._compare(loop.time())
            if not await self._turn():
                await asyncio.sleep(next_turn - loop.time())

    def _compare(self, now: float) -> None:
        """Forgets what HAProxy was told where it is time to ask HAProxy itself."""
        if now >= self._compare_at:
            self._held, self._counted = None, {}
            self._compare_at = now + self._resync

    async def _turn(self) -> bool:
        """One exchange; whether the ledger had something new, and so should be asked again at once."""
        before = self._version
        try:
            said = await self._exchange()
            await self._write(said)
        except (LedgerAway, NotUnderstood) as error:
            self._failed("ledger", error)
            return False
        except RuntimeFailed as error:
            self._held, self._counted = None, {}
            self._failed("haproxy", error)
            return False
        self._away = False
        self._metrics.ledger_synced.set(self._clock())
        return said.version != before

    async def _exchange(self) -> Told:
        table = await self._store.table(HERE)
        body = {
            "gateway": self._gateway,
            "version": self._version,
            "wait": self._wait,
            "requests": requests_here(table, int(self._clock() // 60)),
        }
        said = told(await self._ledger.sync(body, self._wait))
        self._version = said.version
        return said

    async def _write(self, said: Told) -> None:
        keys = self._keys()
        wanted = blocked(said, keys)
        self._blocks = wanted["blocks"]
        held = self._held if self._held is not None else await self._store.read()
        await self._store.apply(changes(held, wanted))
        self._held = wanted
        counts = windows(said, keys)
        news = {window: count for window, count in counts.items() if self._counted.get(window) != count}
        await self._store.count(TOLD_OF, news)
        self._counted = counts

    def _failed(self, what: str, error: Exception) -> None:
        self._metrics.failures.labels(what).inc()
        if not self._away:  # said once, not each second
            _LOG.warning("limits hold for this gateway alone until this ends: %s", error)
        self._away = True
