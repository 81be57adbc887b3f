"""Who waits for a model that is cold, in which order, and who may go: pure.

join ──> waiting ── go ──> going ── sent ──> trying ── done (answered)
            ^                                  │
            └───────────── back ───────────────┘ nothing answered
While nothing shows that the model is up, one request at a time tries; once something does, all go, one after the other.
"""

from bisect import insort
from dataclasses import dataclass, field
from typing import Final

from llmservice_gateway.objects import Service, Wake

WAKE_MS: Final = 10_000
"""A service is woken once in so many milliseconds at most, where there is nothing new to say."""

GROWN_MS: Final = 2_000
"""That more wait than was said is said so many milliseconds later at the earliest."""


@dataclass(frozen=True, order=True)
class Ticket:
    """A held request, by its turn."""

    number: int


@dataclass
class Line:
    """The requests that are held for one service."""

    waiting: list[Ticket] = field(default_factory=list)
    going: Ticket | None = None
    trying: set[Ticket] = field(default_factory=set)
    _number: int = 0

    def __len__(self) -> int:
        return len(self.waiting) + len(self.trying) + (self.going is not None)

    @property
    def is_passed(self) -> bool:
        """Whether all that came are on their way, so that nobody would be overtaken."""
        return not self.waiting and self.going is None

    def join(self, most: int) -> Ticket | None:
        """A place at the end, None where `most` requests are held already."""
        if len(self) >= most:
            return None
        self._number += 1
        ticket = Ticket(self._number)
        self.waiting.append(ticket)
        return ticket

    def may_go(self, ticket: Ticket, *, is_up: bool) -> bool:
        """Whether it is this one's turn: the one before is sent and, unless the model is up, was not answered."""
        return self.is_first(ticket) and self.going is None and (is_up or not self.trying)

    def is_first(self, ticket: Ticket) -> bool:
        """Whether none that waits came before it."""
        return bool(self.waiting) and self.waiting[0] == ticket

    def go(self, ticket: Ticket) -> None:
        """It is being sent."""
        self.waiting.remove(ticket)
        self.going = ticket

    def sent(self, ticket: Ticket) -> None:
        """It waits for its answer."""
        if self.going == ticket:
            self.going = None
            self.trying.add(ticket)

    def back(self, ticket: Ticket) -> None:
        """Nothing answered: it waits where it stood."""
        self.leave(ticket)
        insort(self.waiting, ticket)

    def leave(self, ticket: Ticket) -> None:
        """It is held no longer, wherever it was."""
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        if self.going == ticket:
            self.going = None
        self.trying.discard(ticket)


def wake_is_due(service: Service, told: Wake, asked: Wake, held: int, now_ms: int) -> bool:
    """Whether to wake a service that sleeps for the `held` requests that we have.

    `told`: what status has from us, `asked`: what we last tried to say. What another gateway says of its own requests
    keeps us from repeating ours, until half of the time is over for which status is believed.
    """
    since = abs(now_ms - asked.at)
    if not (service.cold and service.sleeps) or since < GROWN_MS:
        return False
    if since < WAKE_MS:
        return held > asked.requests
    ages = abs(now_ms - told.at) >= max(WAKE_MS, service.idle * 500)
    return ages or held > told.requests or abs(now_ms - service.woken) >= WAKE_MS


def requests_to_tell(service: Service, told: Wake, held: int, now_ms: int) -> int:
    """The most that we held at once: never fewer than was `told` in the same wake, which is acted upon already."""
    return max(held, told.requests) if abs(now_ms - told.at) < service.idle * 1000 else held
