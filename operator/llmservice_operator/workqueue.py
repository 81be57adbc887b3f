"""A queue of keys: each key waits at most once, and is worked on by one worker at a time.

An event only adds its key; ten events while a key is being reconciled become one more reconcile after it.

    add ──► waiting ──► in work ──► done
                 ▲          │ add meanwhile → again
                 └─ later ◄─┴─ failed: after 0.1 s, 0.2 s … 20 s

What somebody has asked for goes first, before what follows from it: a thousand models that are applied at once all
begin to load before it is written of the first of them that it is up. Each fourth turn is another's, so none starves.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY: Final = 0.1
_DOUBLINGS: Final = 8
LONGEST_DELAY: Final = 20.0
"""So that all has converged within half a minute of the API server coming back, however long it was away."""


_TURNS: Final = 4
"""Of so many turns one is for what nobody asked for just now."""


@dataclass
class KeyQueue(Generic[K]):
    """Keys waiting for a worker; `reconcile` returns seconds until the key wants another look, or None."""

    reconcile: Callable[[K], Awaitable[float | None]]
    on_failure: Callable[[K, Exception], None]
    _ready: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    _first: OrderedDict[K, None] = field(default_factory=OrderedDict)
    _others: OrderedDict[K, None] = field(default_factory=OrderedDict)
    _turn: int = 0
    _working: set[K] = field(default_factory=set)
    _again: dict[K, bool] = field(default_factory=dict)
    _later: dict[K, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[K, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._first) + len(self._others)

    def add(self, key: K, *, first: bool = False) -> None:
        """Let a worker look at the key, once, as soon as one is free; `first`: before those that nobody asked for."""
        self._forget_timer(key)
        if key in self._working:
            self._again[key] = first or self._again.get(key, False)
        elif key in self._others and first:
            del self._others[key]
            self._first[key] = None
        elif not self._waits(key):
            (self._first if first else self._others)[key] = None
            self._ready.release()

    def add_after(self, key: K, delay: float) -> None:
        """Let a worker look at the key after `delay` seconds, or sooner where it is added meanwhile."""
        if self._waits(key) or key in self._again:
            return
        loop = asyncio.get_running_loop()
        known = self._later.get(key)
        if known is not None and known.when() <= loop.time() + delay:
            return
        self._forget_timer(key)
        self._later[key] = loop.call_later(delay, self.add, key)

    def _waits(self, key: K) -> bool:
        return key in self._first or key in self._others

    def _next(self) -> K:
        self._turn = (self._turn + 1) % _TURNS
        line = self._others if not self._first or (self._others and self._turn == 0) else self._first
        return line.popitem(last=False)[0]

    def _forget_timer(self, key: K) -> None:
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def work(self) -> None:
        """Reconcile keys until cancelled; run several of these side by side."""
        while True:
            await self._ready.acquire()
            await self._work_once(self._next())

    async def _work_once(self, key: K) -> None:
        self._working.add(key)
        try:
            delay = await self.reconcile(key)
            self._failures.pop(key, None)
        except Exception as error:  # noqa: BLE001 — one poisoned key must not end the worker; it is reported and retried
            self.on_failure(key, error)
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            delay = min(_FIRST_DELAY * 2 ** min(failures, _DOUBLINGS), LONGEST_DELAY)
        finally:
            self._working.discard(key)
        if key in self._again:
            self.add(key, first=self._again.pop(key))
        elif delay is not None:
            self.add_after(key, delay)
