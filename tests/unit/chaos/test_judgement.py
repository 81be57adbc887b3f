"""What is lost, what is counted twice, and what sums are off by."""

from collections.abc import Sequence

import pytest

from tests.chaos.engine import Tokens
from tests.chaos.judgement import Event, Judgement, Sums, judge

HANDED = {"e1": (10, 5), "e2": (20, 6)}
ANSWERED = {"r1": (10, 5)}
ONE, TWO = Event("e1", "r1", (10, 5), "completed"), Event("e2", "r2", (20, 6), "client_left")
EMPTY = Event("e3", "r3", (0, 0), "client_left")
RIGHT = Sums(2, 30, 11)
NOTHING: dict[str, Tokens] = {}

CASES: dict[str, tuple[dict[str, Tokens], Sequence[Event], Sums, Judgement]] = {
    "all is there once": (ANSWERED, [ONE, TWO], RIGHT, Judgement(2, 41, 0, 0, 0)),
    "one that the engine was not asked for": (ANSWERED, [ONE, TWO, EMPTY], Sums(3, 30, 11), Judgement(3, 41, 0, 0, 0)),
    "an event is missing": (ANSWERED, [ONE], Sums(1, 10, 5), Judgement(1, 41, 1, 0, 26)),
    "an event of an answer is missing": (ANSWERED, [TWO], Sums(1, 20, 6), Judgement(1, 41, 2, 0, 15)),
    "too few tokens": (ANSWERED, [ONE, Event("e2", "r2", (20, 5), "c")], Sums(2, 30, 10), Judgement(2, 41, 1, 0, 1)),
    "too many tokens": (ANSWERED, [ONE, Event("e2", "r2", (21, 6), "c")], Sums(2, 31, 11), Judgement(2, 41, 0, 1, 1)),
    "an event twice": (ANSWERED, [ONE, ONE, TWO], RIGHT, Judgement(2, 41, 0, 1, 0)),
    "an event that nobody made": (
        ANSWERED,
        [ONE, TWO, Event("e4", "r4", (1, 0), "c")],
        Sums(3, 31, 11),
        Judgement(3, 41, 0, 1, 1),
    ),
    "summed up twice": (ANSWERED, [ONE, TWO], Sums(3, 40, 16), Judgement(2, 41, 0, 1, 15)),
    "not summed up": (NOTHING, [ONE, TWO], Sums(1, 10, 5), Judgement(2, 41, 1, 0, 26)),
    "an answer says other tokens": ({"r1": (10, 4)}, [ONE, TWO], RIGHT, Judgement(2, 41, 1, 0, 0)),
    "an answer that no event stands for": ({"r9": (10, 5)}, [ONE, TWO], RIGHT, Judgement(2, 41, 1, 0, 0)),
}


@pytest.mark.parametrize(("answered", "events", "sums", "found"), CASES.values(), ids=CASES)
def test_what_is_found(answered: dict[str, Tokens], events: Sequence[Event], sums: Sums, found: Judgement) -> None:
    assert judge(HANDED, answered, events, sums) == found
    assert found.is_sound is (found.lost == found.double == found.off == 0)
