"""Adapters that nobody names in the spec: `<model>:<name>` is loaded from `<source>/<name>` at its first use.

At most so many at once: over that the least recently used goes, never one that a request still has.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.shelf import Loaded, Shelf

_log = logging.getLogger(__name__)

REMEMBERED_S: Final = 30.0
"""How long a fault is answered from memory: requests for what is not there cost no look at the source each."""

_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MOST_REMEMBERED: Final = 1024
_LATER: Final = ("SourceUnreachable", "DiskFull", "CredentialsRefused")


class Unavailable(Exception):
    """A request cannot go on: HTTP status, and what the client is told."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


def not_found(model: str) -> Unavailable:
    """OpenAI's answer for a model that is not there."""
    return Unavailable(404, f"The model '{model[:128]}' does not exist.", "model_not_found")


def refusal(model: str, fault: Fault) -> Unavailable:
    """What a client is told of a fault: not there, not to be had now, or not fit to be served."""
    if fault.reason == "SourceNotFound":
        return not_found(model)
    if fault.reason in _LATER:
        return Unavailable(503, "The adapter cannot be loaded now: retry later.")
    return Unavailable(400, f"The adapter '{model[:128]}' cannot be served: {fault.reason}.", "adapter_unusable")


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
        self._faults.clear()
        self.withdraw_all()

    def withdraw_all(self) -> None:
        """Each is loaded again when it is asked for."""
        for name in list(self._loaded):
            self._shelf.withdraw(name, self._loaded.pop(name))

    def give_up(self, name: str) -> None:
        """The name is the spec's now, whose adapter took its place in the engine."""
        loaded = self._loaded.pop(name, None)
        if loaded is not None:
            self._shelf.replaced(loaded)

    async def ensure(self, model: str) -> None:
        """Returns once `model` answers; raises Unavailable. Requests that come together load it once."""
        if model in self._loaded:
            self._loaded.move_to_end(model)
            return
        name = adapter_name(model, self._bases)
        if name is None or self._source is None:
            raise not_found(model)
        self._recall(model)
        coming = self._coming.get(model)
        if coming is None:
            coming = self._coming[model] = asyncio.create_task(self._load(model, self._source, name))
            coming.add_done_callback(lambda _: self._coming.pop(model, None))
        await asyncio.shield(coming)  # a client that leaves does not end it for the others

    def _recall(self, model: str) -> None:
        until, fault = self._faults.get(model, (0.0, None))
        if fault is not None and self._clock() < until:
            raise refusal(model, fault)

    async def _load(self, model: str, folder: str, name: str) -> None:
        source = f"{folder}/{name}"
        try:
            directory = await self._shelf.bring(source)
            async with self._turn:
                self._make_room()
                loaded = await self._shelf.load(model, source, directory)
        except Fault as fault:
            self._remember(model, fault)
            raise refusal(model, fault) from None
        self._loaded[model] = loaded
        if folder != self._source:  # changed meanwhile
            self._shelf.withdraw(model, self._loaded.pop(model))
            raise not_found(model)
        await self._shelf.sweep()

    def _make_room(self) -> None:
        while len(self._loaded) >= self._capacity:
            idle = next((name for name, each in self._loaded.items() if not self._shelf.is_used(each)), None)
            if idle is None:
                raise Unavailable(503, "All places for adapters are in use: retry later.")
            self._shelf.withdraw(idle, self._loaded.pop(idle))

    def _remember(self, model: str, fault: Fault) -> None:
        _log.warning("adapter %s: %s: %s", model, fault.reason, fault.message)
        self._faults[model] = (self._clock() + REMEMBERED_S, fault)
        self._faults.move_to_end(model)
        while len(self._faults) > _MOST_REMEMBERED:
            self._faults.popitem(last=False)
