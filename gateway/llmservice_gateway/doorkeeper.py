"""Lets requests through to a model once it is up, in the order in which they came; until then they wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import aiohttp

from llmservice_gateway import errors
from llmservice_gateway.bell import Bell
from llmservice_gateway.errors import Refused
from llmservice_gateway.forwarding import Asked, NoAnswer, Upstreams, is_not_up
from llmservice_gateway.holding import Line, Ticket
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import Address, Service

AGAIN: Final = 1.0
"""Seconds after which the first of a line tries again, and looks whether the service is to be woken again."""

Answered = tuple[Address, aiohttp.ClientResponse]


class Services(Protocol):
    """What is known of the cluster."""

    def service(self, route: str) -> Service | None:
        """The service, as it is now."""

    @property
    def changes(self) -> Bell:
        """Rung when what is known has changed."""


@dataclass
class Passage:
    """A request on its way to a service. `check` raises Refused where it may go no longer; `held`: it has to wait."""

    route: str
    asked: Asked
    check: Callable[[], None]
    held: bool = False


@dataclass
class _Door:
    """`bell` is for the first of the line; the others sleep until it is their turn: a ring for thousands would cost."""

    line: Line = field(default_factory=Line)
    bell: Bell = field(default_factory=Bell)
    turns: dict[Ticket, Bell] = field(default_factory=dict)

    def ring(self) -> None:
        """What may let the first of the line go has changed, or who is the first."""
        self.bell.ring()
        if self.line.waiting and (turn := self.turns.get(self.line.waiting[0])) is not None:
            turn.ring()

    async def wait(self, ticket: Ticket, within: float) -> None:
        """Until there is news for this one, or so many seconds have passed."""
        if self.line.is_first(ticket):
            await self.bell.heard(min(within, AGAIN))
            return
        self.turns[ticket] = Bell()
        try:
            await self.turns[ticket].heard(within)
        finally:
            del self.turns[ticket]


class Doorkeeper:
    """`longest` bounds every hold, in seconds; `wake` is called, with how many are held, as long as somebody waits."""

    def __init__(
        self,
        services: Services,
        upstreams: Upstreams,
        wake: Callable[[Service, int], None],
        metrics: Metrics,
        longest: float,
    ) -> None:
        self._services = services
        self._upstreams = upstreams
        self._wake = wake
        self._metrics = metrics
        self._longest = longest
        self._doors: dict[str, _Door] = {}
        self._proved: dict[str, Service] = {}
        self._news = Bell()

    async def run(self) -> None:
        """Tells those who wait of changes; runs until cancelled."""
        while True:
            await self._services.changes.heard()
            self._proved = {
                route: service for route, service in self._proved.items() if self._services.service(route) == service
            }
            self._news.ring()
            for door in self._doors.values():
                door.ring()

    async def answer(self, passage: Passage) -> Answered:
        """Where the model answered, and its answer, whose body is still to be read. Raises Refused."""
        service = self._service(passage)
        if service.address is not None and self._is_passed(service):
            answered = await self._insisted(service, service.address, passage.asked)
            if answered is not None:
                return answered
            self._proved.pop(passage.route, None)
        return await self._hold(service, passage)

    def _is_passed(self, service: Service) -> bool:
        """Whether a request may go at once, because nobody waits for the service or is about to go."""
        door = self._doors.get(service.route)
        return not service.is_waited_for or (self._is_up(service) and (door is None or door.line.is_passed))

    async def _insisted(self, service: Service, address: Address, asked: Asked) -> Answered | None:
        """The answer after as many tries as HAProxy makes; None where it is to be waited for. Raises Refused."""
        try:
            answer = await self._upstreams.insist(address, asked)
        except NoAnswer as lost:
            if not service.is_waited_for or not lost.again:
                raise Refused(lost.error) from lost
            return None
        if not service.is_waited_for or not is_not_up(answer):
            return address, answer
        answer.close()
        return None

    async def _hold(self, service: Service, passage: Passage) -> Answered:
        door = self._doors.get(passage.route, _Door())
        ticket = door.line.join(service.hold.requests)
        if ticket is None:
            self._metrics.held_total.labels("full").inc()
            raise Refused(errors.HOLD_FULL if service.hold.requests else errors.MODEL_NOT_READY)
        self._doors[passage.route] = door
        passage.held = True
        outcome = "left"
        self._metrics.held.inc()
        try:
            answered = await self._held(service, passage, door, ticket)
            outcome = "answered"
            return answered
        except Refused as refused:
            outcome = "expired" if refused.error is errors.HOLD_OVER else "refused"
            raise
        finally:
            self._metrics.held.dec()
            self._metrics.held_total.labels(outcome).inc()
            self._leave(passage.route, door, ticket)

    def _leave(self, route: str, door: _Door, ticket: Ticket) -> None:
        door.line.leave(ticket)
        door.ring()
        if not len(door.line) and self._doors.get(route) is door:
            del self._doors[route]

    async def _held(self, service: Service, passage: Passage, door: _Door, ticket: Ticket) -> Answered:
        until = _now() + min(service.hold.wait, self._longest)
        while True:
            address = await self._turn(passage, door, ticket, until)
            door.line.go(ticket)
            answer = await self._try(address, passage, door, ticket, until)
            if answer is not None:
                return address, answer
            self._proved.pop(passage.route, None)
            door.line.back(ticket)
            # It stands first again and so keeps all others from trying as well.
            await self._news.heard(min(AGAIN, max(until - _now(), 0)))

    async def _turn(self, passage: Passage, door: _Door, ticket: Ticket, until: float) -> Address:
        """Waits for the ticket's turn; where the service answers then."""
        while True:
            service = self._service(passage)
            if door.line.is_first(ticket):
                self._wake(service, len(door.line))
            left = until - _now()
            if left <= 0:
                raise Refused(errors.HOLD_OVER)
            if service.address is not None and door.line.may_go(ticket, is_up=self._is_up(service)):
                passage.check()
                return service.address
            await door.wait(ticket, left)

    async def _try(
        self, address: Address, passage: Passage, door: _Door, ticket: Ticket, until: float
    ) -> aiohttp.ClientResponse | None:
        """The answer, None where the model is not up. As long as nothing shows that it is, `until` bounds this too."""
        sent = partial(self._sent, door, ticket)
        asking = asyncio.ensure_future(self._upstreams.ask(address, passage.asked, sent))
        kept = None
        try:
            while not asking.done():
                left = AGAIN if self._is_up(self._service(passage)) else until - _now()
                if left <= 0:
                    raise Refused(errors.HOLD_OVER)
                await asyncio.wait({asking}, timeout=min(left, AGAIN))
            kept = self._judged(asking.result(), passage, door)
            return kept
        except NoAnswer as lost:
            if not lost.again:
                raise Refused(lost.error) from lost
            return None
        finally:
            _give_up(asking, kept)

    def _judged(self, answer: aiohttp.ClientResponse, passage: Passage, door: _Door) -> aiohttp.ClientResponse | None:
        service = self._services.service(passage.route)
        if is_not_up(answer):
            return None
        if service is not None:
            self._proved[passage.route] = service
        door.ring()
        return answer

    def _sent(self, door: _Door, ticket: Ticket) -> None:
        door.line.sent(ticket)
        door.ring()

    def _service(self, passage: Passage) -> Service:
        service = self._services.service(passage.route)
        if service is None:
            raise Refused(errors.MODEL_NOT_FOUND)
        return service

    def _is_up(self, service: Service) -> bool:
        return not service.cold or self._proved.get(service.route) == service


def _give_up(asking: "asyncio.Task[aiohttp.ClientResponse]", kept: aiohttp.ClientResponse | None) -> None:
    """Closes the connection to a model whose answer nobody wants."""
    if asking.cancel() or asking.cancelled() or asking.exception() is not None:
        return
    if kept is None:
        asking.result().close()


def _now() -> float:
    return asyncio.get_running_loop().time()
