"""A queue of keys: each key waits at most once, and is worked on by one worker at a time.

An event only adds its key; ten events while a key is being reconciled become one more reconcile after it.

    add ──► waiting ──► in work ──► done
                 ▲          │ add meanwhile → again
                 └─ later ◄─┴─ failed: after 0.1 s, 0.2 s … 20 s
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY: Final = 0.1
_DOUBLINGS: Final = 8
LONGEST_DELAY: Final = 20.0
"""So that all has converged within half a minute of the API server coming back, however long it was away."""


@dataclass
class KeyQueue(Generic[K]):
    """Keys waiting for a worker; `reconcile` returns seconds until the key wants another look, or None."""

    reconcile: Callable[[K], Awaitable[float | None]]
    on_failure: Callable[[K, Exception], None]
    _ready: asyncio.Queue[K] = field(default_factory=asyncio.Queue)
    _waiting: set[K] = field(default_factory=set)
    _working: set[K] = field(default_factory=set)
    _again: set[K] = field(default_factory=set)
    _later: dict[K, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[K, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Let a worker look at the key, once, as soon as one is free."""
        self._forget_timer(key)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay: float) -> None:
        """Let a worker look at the key after `delay` seconds, or sooner where it is added meanwhile."""
        if key in self._waiting or key in self._again:
            return
        loop = asyncio.get_running_loop()
        known = self._later.get(key)
        if known is not None and known.when() <= loop.time() + delay:
            return
        self._forget_timer(key)
        self._later[key] = loop.call_later(delay, self.add, key)

    def _forget_timer(self, key: K) -> None:
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def work(self) -> None:
        """Reconcile keys until cancelled; run several of these side by side."""
        while True:
            await self._work_once(await self._ready.get())

    async def _work_once(self, key: K) -> None:
        self._waiting.discard(key)
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
            self._again.discard(key)
            self.add(key)
        elif delay is not None:
            self.add_after(key, delay)
