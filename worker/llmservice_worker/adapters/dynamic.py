"""Adapters that nobody names in the spec: `<model>:<name>` is loaded from `<source>/<name>` at its first use.

At most so many at once: over that the least recently used goes, never one that a request still has.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.shelf import ENGINE_AWAY, Loaded, Shelf
from llmservice_worker.errors import LOST, Refused, unknown_model
from llmservice_worker.fetch.failure import Reason

_log = logging.getLogger(__name__)

REMEMBERED_S: Final = 30.0
"""How long a fault is answered from memory: requests for what is not there cost no look at the source each."""

_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MOST_REMEMBERED: Final = 1024
_LATER: Final = (Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL, Reason.CREDENTIALS_REFUSED)


def refusal(model: str, fault: Fault) -> Refused:
    """What a client is told of a fault: not there, not to be had here or now, or not fit to be served."""
    if fault.reason == Reason.SOURCE_NOT_FOUND:
        return unknown_model(model)
    if fault.reason == ENGINE_AWAY:
        return Refused(LOST, "The engine is lost.", "model")
    if fault.reason in _LATER:
        return Refused(503, "The adapter cannot be loaded now: retry later.", "model")
    message = f"The adapter '{model[:128]}' cannot be served: {fault.reason}."
    return Refused(400, message, "model", "adapter_unusable")


def adapter_name(model: str, bases: Sequence[str]) -> str | None:
    """The name in `<base>:<name>`, one plain segment of a path; None where it is none."""
    base, _, name = model.rpartition(":")
    return name if base in bases and _SAFE_NAME.fullmatch(name) else None


class DynamicAdapters:
    """`bases`: the model's id and aliases; `capacity`: most adapters at once."""

    def __init__(self, bases: Sequence[str], shelf: Shelf, capacity: int, clock: Callable[[], float]) -> None:
        self._bases = tuple(bases)
        self._shelf = shelf
        self._capacity = capacity
        self._clock = clock
        self._source: str | None = None
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._faults: OrderedDict[str, tuple[float, Fault]] = OrderedDict()
        self._turn = asyncio.Lock()

    def names(self) -> list[str]:
        """What answers now, the least recently used first."""
        return list(self._loaded)

    def take_over(self, source: str | None) -> None:
        """The folder of adapters from now on; None: there are none. Those of another folder go."""
        if source == self._source:
            return
        self._source = source
        self.withdraw_all()

    def withdraw_all(self) -> None:
        """Each is loaded again when it is asked for; nothing is known of any."""
        self._faults.clear()
        for name in list(self._coming):
            self._stop(name)
        for name in list(self._loaded):
            self._shelf.withdraw(name, self._loaded.pop(name))

    def give_up(self, name: str) -> None:
        """The name is the spec's now, whose adapter took its place in the engine."""
        self._stop(name)
        loaded = self._loaded.pop(name, None)
        if loaded is not None:
            self._shelf.replaced(loaded)

    async def ensure(self, model: str) -> None:
        """Returns once `model` answers; raises Refused. Requests that come together load it once."""
        if model in self._loaded:
            self._loaded.move_to_end(model)
            return
        name = adapter_name(model, self._bases)
        if name is None or self._source is None:
            raise unknown_model(model)
        self._recall(model)
        coming = self._coming.get(model) or self._begin(model, f"{self._source}/{name}")
        await asyncio.wait([coming])  # a client that leaves does not end it for the others
        if coming.cancelled():
            raise Refused(LOST, "The adapter's name or folder is another's now.", "model")
        coming.result()

    def _begin(self, model: str, source: str) -> asyncio.Task[None]:
        coming = self._coming[model] = asyncio.create_task(self._load(model, source))
        coming.add_done_callback(lambda _: self._came(model, coming))
        return coming

    def _came(self, model: str, coming: asyncio.Task[None]) -> None:
        if self._coming.get(model) is coming:  # else it was stopped, and another may be on its way
            del self._coming[model]

    def _stop(self, model: str) -> None:
        """One that is on its way never takes its name in the engine: whoever waits asks again."""
        coming = self._coming.pop(model, None)
        if coming is not None:
            coming.cancel()

    def _recall(self, model: str) -> None:
        until, fault = self._faults.get(model, (0.0, None))
        if fault is not None and self._clock() < until:
            raise refusal(model, fault)

    async def _load(self, model: str, source: str) -> None:
        self._evictable()
        try:
            self._loaded[model] = await self._shelf.load(model, source, self._place())
        except Fault as fault:
            self._remember(model, fault)
            raise refusal(model, fault) from None
        await self._shelf.sweep()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place for one more, until it is taken; raises Refused where each is in use."""
        async with self._turn:
            while (name := self._evictable()) is not None:
                self._shelf.withdraw(name, self._loaded.pop(name))
            yield

    def _evictable(self) -> str | None:
        """What must go so that one more has a place; None where there is one. Raises Refused where each is in use."""
        if len(self._loaded) < self._capacity:
            return None
        for name, each in self._loaded.items():
            if not self._shelf.is_used(each):
                return name
        raise Refused(503, "All places for adapters are in use: retry later.", "model")

    def _remember(self, model: str, fault: Fault) -> None:
        _log.warning("adapter %s: %s: %s", model, fault.reason, fault.message)
        if fault.reason == ENGINE_AWAY:
            return
        self._faults[model] = (self._clock() + REMEMBERED_S, fault)
        self._faults.move_to_end(model)
        while len(self._faults) > _MOST_REMEMBERED:
            self._faults.popitem(last=False)
