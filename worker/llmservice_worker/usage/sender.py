"""Sends what the spool holds to the ledger, the oldest first: a segment goes once all of its events are stored."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import MOST_EVENTS, Away, Refused, Stored, Verdict
from llmservice_worker.usage.spool import MIB, Segment, Spool

_log = logging.getLogger(__name__)

REFUSED_BYTES: Final = 4 * MIB
LOOK_S: Final = 15.0
"""How often it looks for what a replica that has ended left in the same pod."""
_FIRST_S: Final = 0.5
_LONGEST_S: Final = 30.0


class Posts(Protocol):
    """The ledger's part."""

    async def post(self, lines: Sequence[bytes]) -> Verdict:
        """Offer events to it."""


def backoff(failures: int, chance: float) -> float:
    """Seconds before the next try after so many failures in a row; `chance` in [0, 1) keeps replicas apart."""
    return float(min(_FIRST_S * 2 ** min(failures - 1, 16), _LONGEST_S) * (0.5 + chance / 2))


async def waited(seconds: float, hurried: asyncio.Event) -> None:
    """Wait so long, or until `hurried` is set; once it is, never longer than for a first failure."""
    if hurried.is_set():
        await asyncio.sleep(min(seconds, _FIRST_S))
    else:
        with suppress(TimeoutError):
            await asyncio.wait_for(hurried.wait(), seconds)


class Sender:
    """One for each replica."""

    def __init__(
        self,
        spool: Spool,
        ledger: Posts,
        figures: UsageFigures,
        pause: Callable[[float, asyncio.Event], Awaitable[None]] = waited,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._figures = figures
        self._pause = pause
        self._chance = chance
        self._failures = 0
        self._said = ""
        self._more = asyncio.Event()
        self._hurried = asyncio.Event()

    def wake(self) -> None:
        """There is more in the spool."""
        self._more.set()

    def finish(self) -> None:
        """There will be no more: `run` returns when all is sent, and waits for the ledger no longer than it must."""
        self._hurried.set()
        self._more.set()

    async def run(self) -> None:
        """Send what there is, and what comes."""
        while True:
            self._more.clear()
            is_last = self._hurried.is_set()
            try:
                await self._send_all()
            except OSError as error:
                _log.error("usage events cannot be read from the spool, they are tried again: %s", error)
            if is_last:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), LOOK_S)

    async def _send_all(self) -> None:
        """Returns when nothing is left to send; while the ledger is away, it tries again."""
        while (segment := await asyncio.to_thread(self._spool.oldest)) is not None:
            try:
                await self._send(segment)
            except BaseException:
                segment.close()
                raise
            await asyncio.to_thread(segment.remove)
            self._figures.stands(await asyncio.to_thread(self._spool.standing))

    async def _send(self, segment: Segment) -> None:
        held = await asyncio.to_thread(segment.read)
        if held.torn:
            _log.error("%d usage events in %s were not whole, and are lost", held.torn, segment.path.name)
            self._figures.lost(held.torn)
        for begin in range(0, len(held.lines), MOST_EVENTS):
            await self._deliver(list(held.lines[begin : begin + MOST_EVENTS]))

    async def _deliver(self, lines: list[bytes]) -> None:
        """Returns when each of `lines` is stored, or set aside."""
        while lines:
            match await self._ledger.post(lines):
                case Stored():
                    lines = []
                    self._is_back()
                case Refused(index, message):
                    await self._set_aside(lines.pop(index), message)
                case Away(message):
                    self._failures += 1
                    self._say(message)
                    await self._pause(backoff(self._failures, self._chance()), self._hurried)

    def _say(self, message: str) -> None:
        """Each reason once, not each failure."""
        if message != self._said:
            _log.warning("the ledger takes no usage events, they are kept and sent later: %s", message)
        self._said = message

    def _is_back(self) -> None:
        if self._failures:
            _log.info("the ledger takes usage events again, after %d failures", self._failures)
        self._failures, self._said = 0, ""

    async def _set_aside(self, line: bytes, message: str) -> None:
        self._figures.lost(1)
        try:
            kept = await asyncio.to_thread(self._spool.set_aside, line, REFUSED_BYTES)
        except OSError as error:
            _log.error("a refused usage event cannot be set aside: %s", error)
            kept = False
        _log.error("the ledger refused a usage event (%s): %s", "set aside" if kept else "not kept", message)
