"""Who waits for a cold model and who may go."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from llmservice_gateway import objects
from llmservice_gateway.holding import WAKE_MS, Line, Ticket, wake_is_due
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


@pytest.mark.parametrize(
    ("fields", "asked", "now", "due"),
    [
        ({}, 0, 10 * WAKE_MS, True),
        ({}, 9 * WAKE_MS, 10 * WAKE_MS, True),
        ({}, 9 * WAKE_MS + 1, 10 * WAKE_MS, False),
        ({"woken": "1970-01-01T00:01:35Z"}, 0, 10 * WAKE_MS, False),
        ({"woken": "1970-01-01T00:01:30Z"}, 0, 10 * WAKE_MS, True),
        ({"woken": "2070-01-01T00:00:00Z"}, 0, 10 * WAKE_MS, True),
        ({"sleeps": False}, 0, 10 * WAKE_MS, False),
        ({"address": "10.0.0.1:1", "replicas": 0}, 0, 10 * WAKE_MS, True),
        ({"address": "10.0.0.1:1", "replicas": 1}, 0, 10 * WAKE_MS, False),
    ],
)
def test_a_service_is_woken_once_in_a_while_by_all_gateways_together(
    fields: dict[str, Any], asked: int, now: int, due: bool
) -> None:
    wanted: dict[str, Any] = {"sleeps": True} | fields
    service = objects.service(llmservice("m", **wanted))
    assert service is not None
    assert wake_is_due(service, asked, now) is due
