"""Who waits for a cold model and who may go."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from llmservice_gateway import objects
from llmservice_gateway.holding import GROWN_MS, WAKE_MS, Line, Ticket, requests_to_tell, wake_is_due
from llmservice_gateway.objects import NO_WAKE, Service, Wake
from tests.unit.gateway.builders import llmservice

MOST = 5


def joined(line: Line) -> Ticket:
    ticket = line.join(MOST)
    assert ticket is not None
    return ticket


def test_one_tries_until_the_model_is_up_and_then_all_go_one_after_the_other() -> None:
    line = Line()
    first, second, third = (joined(line) for _ in range(3))
    assert [line.may_go(each, is_up=False) for each in (first, second, third)] == [True, False, False]
    line.go(first)
    assert not line.may_go(second, is_up=True)  # the first is not sent yet
    line.sent(first)
    assert not line.may_go(second, is_up=False)
    assert line.may_go(second, is_up=True)
    line.go(second)
    line.sent(second)
    assert line.may_go(third, is_up=True)


def test_who_was_not_answered_stands_where_it_stood() -> None:
    line = Line()
    tickets = [joined(line) for _ in range(3)]
    for each in tickets:
        line.go(each)
        line.sent(each)
    for each in reversed(tickets):
        line.back(each)
    assert line.waiting == tickets


def test_places_are_bounded_and_free_once_left() -> None:
    line = Line()
    tickets = [joined(line) for _ in range(MOST)]
    line.go(tickets[0])
    line.sent(tickets[0])
    assert line.join(MOST) is None
    line.leave(tickets[0])
    line.leave(tickets[3])
    assert [line.join(MOST) is None for _ in range(3)] == [False, False, True]
    assert line.join(0) is None


class Holding(RuleBasedStateMachine):
    """Any order of events."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.held: set[Ticket] = set()

    @precondition(lambda self: len(self.line) < MOST)
    @rule(target=tickets)
    def join(self) -> Ticket:
        """A request comes."""
        ticket = joined(self.line)
        self.held.add(ticket)
        return ticket

    @rule(ticket=tickets, is_up=st.booleans(), answered=st.booleans())
    def go(self, ticket: Ticket, is_up: bool, answered: bool) -> None:
        """It goes where it may."""
        if self.line.may_go(ticket, is_up=is_up):
            assert ticket == min(self.line.waiting)
            self.line.go(ticket)
            self.line.sent(ticket)
            if not answered:
                self.line.back(ticket)

    @rule(ticket=consumes(tickets))
    def leave(self, ticket: Ticket) -> None:
        """It is answered, or its client leaves."""
        self.line.leave(ticket)
        self.held.discard(ticket)

    @invariant()
    def nobody_is_lost_or_counted_twice(self) -> None:
        """Those held are those in the line, in order, within the bound."""
        assert {*self.line.waiting, *self.line.trying} == self.held
        assert len(self.line) == len(self.held) <= MOST
        assert self.line.waiting == sorted(self.line.waiting)


TestHolding = Holding.TestCase


NOW = 1_769_860_800_000
LONG_AGO, LATELY = NOW - WAKE_MS, NOW - WAKE_MS + 1000
NOON, BEFORE, AHEAD = "2026-01-31T12:00:00Z", "2026-01-31T11:59:50Z", "2070-01-01T00:00:00Z"


def sleeper(**fields: Any) -> Service:
    wanted: dict[str, Any] = {"sleeps": True} | fields
    service = objects.service(llmservice("m", **wanted))
    assert service is not None
    return service


@pytest.mark.parametrize(
    ("fields", "told", "asked", "held", "due"),
    [
        # Nothing is said of ours yet, whoever else said something of theirs.
        ({}, NO_WAKE, NO_WAKE, 1, True),
        ({"woken": NOON}, NO_WAKE, NO_WAKE, 1, True),
        # The same again: once in a while by all gateways together.
        ({}, Wake(LONG_AGO, 3), Wake(LONG_AGO, 3), 3, True),
        ({}, Wake(LATELY, 3), Wake(LATELY, 3), 3, False),
        ({"woken": NOON}, Wake(LONG_AGO, 3), Wake(LONG_AGO, 3), 3, False),
        ({"woken": BEFORE}, Wake(LONG_AGO, 3), Wake(LONG_AGO, 3), 3, True),
        ({"woken": AHEAD}, Wake(LONG_AGO, 3), Wake(LONG_AGO, 3), 3, True),
        ({"woken": NOON}, Wake(LONG_AGO, 3), Wake(LONG_AGO, 3), 2, False),
        # More than was said.
        ({"woken": NOON}, Wake(LATELY, 3), Wake(NOW - GROWN_MS, 3), 4, True),
        ({"woken": NOON}, Wake(LATELY, 3), Wake(NOW - GROWN_MS + 1, 3), 4, False),
        # It is on its way, or the watch is behind, or it could not be written.
        ({"woken": NOON}, NO_WAKE, Wake(NOW - GROWN_MS, 4), 4, False),
        ({"woken": NOON}, NO_WAKE, Wake(LONG_AGO, 4), 4, True),
        ({"woken": NOON}, Wake(LONG_AGO, 2), Wake(LONG_AGO, 4), 4, True),
        # Before what we said is believed no longer.
        ({"woken": NOON, "idle": "60s"}, Wake(NOW - 29_999, 3), Wake(NOW - 29_999, 3), 1, False),
        ({"woken": NOON, "idle": "60s"}, Wake(NOW - 30_000, 3), Wake(NOW - 30_000, 3), 1, True),
        ({"woken": NOON, "idle": "0s"}, Wake(LATELY, 3), Wake(LATELY, 3), 1, False),
        # One that does not sleep, or is up.
        ({"sleeps": False}, NO_WAKE, NO_WAKE, 1, False),
        ({"address": "10.0.0.1:1", "replicas": 0}, NO_WAKE, NO_WAKE, 1, True),
        ({"address": "10.0.0.1:1", "replicas": 1}, NO_WAKE, NO_WAKE, 1, False),
    ],
)
def test_a_service_is_woken_once_in_a_while_and_sooner_where_more_wait(
    fields: dict[str, Any], told: Wake, asked: Wake, held: int, due: bool
) -> None:
    assert wake_is_due(sleeper(**fields), told, asked, held, NOW) is due


@pytest.mark.parametrize(
    ("told", "held", "expected"),
    [
        (NO_WAKE, 3, 3),
        (Wake(NOW - 59_999, 20), 3, 20),
        (Wake(NOW - 59_999, 20), 30, 30),
        (Wake(NOW - 60_000, 20), 3, 3),
    ],
)
def test_what_is_told_only_grows_as_long_as_it_is_believed(told: Wake, held: int, expected: int) -> None:
    assert requests_to_tell(sleeper(idle="60s"), told, held, NOW) == expected
