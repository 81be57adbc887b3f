"""How fast the large bodies of one key are read, so that its flood leaves the gateway's core to others.

What is not read here, the client does not get to send: HAProxy's buffers fill, and then the connection waits.
"""

import asyncio
from collections.abc import Callable
from typing import Final

_FORGET: Final = 1024
"""So many owners are remembered before those whose bytes are paid off are looked for."""


class Pace:
    """`rate` bytes a second for each owner, after `burst` bytes as fast as they come; `clock` in seconds, monotonic."""

    def __init__(self, rate: int, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._ahead = burst / rate
        self._clock = clock
        self._paid: dict[str, float] = {}

    def wait(self, owner: str, size: int) -> float:
        """Counts `size` bytes of the owner; the seconds after which it may be read on."""
        now = self._clock()
        if len(self._paid) >= _FORGET:
            self._paid = {each: paid for each, paid in self._paid.items() if paid > now}
        paid = max(self._paid.get(owner, now), now) + size / self._rate
        self._paid[owner] = paid
        return max(0.0, paid - now - self._ahead)

    async def keep(self, owner: str, size: int) -> None:
        """Counts `size` bytes of the owner and returns when it may be read on."""
        wait = self.wait(owner, size)
        if wait:
            await asyncio.sleep(wait)
