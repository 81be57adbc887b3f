"""What can happen to a call, each a few lines: refusals, lost connections, broken answers, a kill at a write."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from aiohttp import web

from tests.chaos.operator.proxy import Call, Exchange, Fault, Reply, Rule

REASONS: Final[Mapping[int, str]] = {
    401: "Unauthorized",
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def failure(status: int) -> dict[str, object]:
    """A refusal in the API server's own form."""
    said: dict[str, object] = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "the rig"}
    return said | {"reason": REASONS[status], "code": status}


def refuses(status: int, **headers: str) -> Fault:
    """The API server refuses in its own form; nothing is carried out."""
    return _says(json.dumps(failure(status)).encode(), status, **headers)


def error_event(status: int) -> bytes:
    """By which a watch says that it ends."""
    return json.dumps({"type": "ERROR", "object": failure(status)}).encode() + b"\n"


def watch_error(status: int) -> Fault:
    """A watch begins, and all that comes on it is an ERROR."""
    return _says(error_event(status))


def _says(body: bytes, status: int = 200, **headers: str) -> Fault:
    reply = Reply(status, {"Content-Type": "application/json", **headers}, body)
    return lambda exchange: exchange.answer(reply)


torn_watch: Final[Fault] = _says(error_event(500)[:40])
"""A watch begins, and its connection ends in the midst of an event."""


async def resets(exchange: Exchange) -> web.StreamResponse:
    """The connection ends before the API server hears of it."""
    return exchange.cut()


async def swallows(exchange: Exchange) -> web.StreamResponse:
    """A black hole: nothing is carried out, and nothing is ever said, until the operator itself gives up."""
    await asyncio.Event().wait()
    return exchange.cut()


async def truncates(exchange: Exchange) -> web.StreamResponse:
    """It is carried out, and half of the answer comes, as if it were all."""
    reply = await exchange.forward()
    return await exchange.answer(Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2]))


def dies_before(kill: Callable[[], None]) -> Fault:
    """The operator is killed before its write is sent."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await asyncio.to_thread(kill)
        return exchange.cut()

    return fault


def dies_unanswered(kill: Callable[[], None]) -> Fault:
    """The write is carried out; the operator is killed before it hears of it."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        reply = await exchange.forward()
        await asyncio.to_thread(kill)
        return await exchange.answer(reply)

    return fault


def dies_after(kill: Callable[[], None]) -> Fault:
    """The operator is killed as soon as the answer is on its way to it."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        response = await exchange.pass_on()
        await asyncio.to_thread(kill)
        return response

    return fault


def at_write(number: int, fault: Fault) -> Rule:
    """The fault at the so-manieth write from now on (from 1), and never again."""
    count = itertools.count(1)
    return lambda call: fault if call.is_write and next(count) == number else None


def on(matches: Callable[[Call], bool], fault: Fault) -> Rule:
    """The fault for all calls that match."""
    return lambda call: fault if matches(call) else None


def is_write(call: Call) -> bool:
    """For `on`: all that changes something."""
    return call.is_write


def is_any(_: Call) -> bool:
    """For `on`: everything, watches and discovery too."""
    return True


Step = Callable[[bytes], list[bytes]]
"""What is heard of a watch in place of its next event."""


class Tampered:
    """Watches of these kinds are tampered with; `count` says how many of their events were not heard as they came."""

    def __init__(self, plurals: frozenset[str], new_step: Callable[[], Step]) -> None:
        self._plurals = plurals
        self._new_step = new_step
        self.count = 0

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """For Proxy.events."""
        step = self._new_step()
        async for line in lines:
            heard = step(line) if call.plural in self._plurals else [line]
            self.count += heard != [line]
            for each in heard:
                yield each


def late(by: int) -> Callable[[], Step]:
    """Each event comes only once so many more of its watch have happened."""

    def new_step() -> Step:
        held: list[bytes] = []

        def step(line: bytes) -> list[bytes]:
            held.append(line)
            return [held.pop(0)] if len(held) > by else []

        return step

    return new_step


def dropped(number: int) -> Callable[[], Step]:
    """The so-manieth event of a watch (from 1) never comes."""

    def new_step() -> Step:
        count = itertools.count(1)
        return lambda line: [] if next(count) == number else [line]

    return new_step


def doubled() -> Step:
    """Each event comes twice."""
    return lambda line: [line, line]


def reordered() -> Step:
    """Each event changes places with the one after it."""
    held: list[bytes] = []

    def step(line: bytes) -> list[bytes]:
        if not held:
            held.append(line)
            return []
        return [line, held.pop()]

    return step


def expired(after: int) -> Callable[[], Step]:
    """A watch says 410 in place of what follows so many events."""
    gone = error_event(410)

    def new_step() -> Step:
        count = itertools.count()
        return lambda line: [line] if next(count) < after else [gone]

    return new_step
