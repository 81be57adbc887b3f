"""Which revision answers, which comes up and which go: observed → decided."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_operator.rollout import Revisions, Rollout, hold, keep, step
from tests.unit.operator.builders import NOON

DEADLINE, DRAIN = timedelta(minutes=30), timedelta(minutes=5)
EARLIER = NOON - timedelta(minutes=4)
NONE = Revisions(wanted="b", existing=(), active=None, pending=None, pending_since=None, draining_since=None)


def stepped(
    revisions: Revisions,
    answers: bool = False,
    strategy: Any = "BlueGreen",
    routed: bool = True,
    active_answers: bool = True,
) -> Rollout:
    """One step at noon."""
    return step(
        revisions,
        wanted_answers=answers,
        active_answers=active_answers,
        routed=routed,
        strategy=strategy,
        deadline=DEADLINE,
        drain=DRAIN,
        now=NOON,
    )


CASES = {
    # name: (what is there, whether the wanted one answers, (active, pending, create, delete))
    "fresh": (NONE, False, (None, "b", True, ())),
    "coming up": (replace(NONE, existing=("b",), pending="b", pending_since=EARLIER), False, (None, "b", True, ())),
    "first answers": (replace(NONE, existing=("b",), pending="b"), True, ("b", None, True, ())),
    "steady": (replace(NONE, existing=("b",), active="b"), True, ("b", None, True, ())),
    "steady, its engine is down": (replace(NONE, existing=("b",), active="b"), False, ("b", None, True, ())),
    "edit": (replace(NONE, existing=("a",), active="a"), False, ("a", "b", True, ())),
    "edit, coming up": (replace(NONE, existing=("a", "b"), active="a", pending="b"), False, ("a", "b", True, ())),
    "edit, answers": (replace(NONE, existing=("a", "b"), active="a", pending="b"), True, ("b", None, True, ())),
    "edit again": (replace(NONE, existing=("a", "x"), active="a", pending="x"), False, ("a", "b", True, ("x",))),
    "edit while an older one drains": (
        replace(NONE, existing=("a", "o"), active="a", draining_since=EARLIER),
        False,
        ("a", "b", True, ()),
    ),
    "edit after an older one has drained": (
        replace(NONE, existing=("a", "o"), active="a", draining_since=NOON - DRAIN),
        False,
        ("a", "b", True, ("o",)),
    ),
    "reverted": (replace(NONE, existing=("b", "x"), active="b", pending="x"), True, ("b", None, True, ("x",))),
    "reverted twice in a drain": (
        replace(NONE, existing=("b", "x"), active="b", pending="x", draining_since=NOON - timedelta(seconds=1)),
        True,
        ("b", None, True, ()),
    ),
    "active deleted by hand": (replace(NONE, active="b"), False, (None, "b", True, ())),
    "active deleted while rolling out": (
        replace(NONE, existing=("b",), active="a", pending="b"),
        False,
        (None, "b", True, ()),
    ),
}


@pytest.mark.parametrize(("revisions", "answers", "decided"), CASES.values(), ids=CASES)
def test_step(revisions: Revisions, answers: bool, decided: tuple[Any, ...]) -> None:
    found = stepped(revisions, answers)
    assert (found.active, found.pending, found.create, found.delete) == decided


def test_old_revision_drains_then_goes() -> None:
    both = replace(NONE, existing=("a", "b"), active="a", pending="b")
    moved = stepped(both, True)
    assert (moved.draining_since, moved.check_again, moved.delete) == (NOON, DRAIN, ())
    draining = replace(both, active="b", pending=None, draining_since=EARLIER)
    assert stepped(draining).check_again == timedelta(minutes=1)
    over = stepped(replace(draining, draining_since=NOON - DRAIN))
    assert (over.delete, over.check_again) == (("a",), None)
    unrouted = stepped(replace(draining, draining_since=NOON - DRAIN), routed=False)
    assert unrouted.delete == (), "the gateway may still ask it"
    gone = stepped(replace(draining, existing=("b",)))
    assert (gone.draining_since, gone.delete) == (None, ())


def test_deadline_counts_from_the_pending_revisions_begin() -> None:
    pending = replace(NONE, existing=("b",), pending="b", pending_since=EARLIER)
    assert stepped(pending).check_again == timedelta(minutes=26)
    late = stepped(replace(pending, pending_since=NOON - DEADLINE))
    assert (late.overdue, late.check_again) == (True, None)
    other = stepped(replace(pending, pending="x", pending_since=NOON - DEADLINE))
    assert (other.overdue, other.pending_since) == (False, NOON)


def test_recreate_takes_the_old_down_first() -> None:
    old = replace(NONE, existing=("a",), active="a")
    first = stepped(old, strategy="Recreate")
    assert (first.active, first.pending, first.create, first.delete) == (None, "b", False, ("a",))
    then = stepped(replace(old, existing=(), active=None), strategy="Recreate")
    assert (then.create, then.delete) == (True, ())


def test_a_revision_that_is_not_up_in_time_is_given_up_beside_one_that_serves_until_the_next_edit() -> None:
    both = replace(NONE, existing=("a", "b"), active="a", pending="b", pending_since=NOON - DEADLINE)
    late = stepped(both)
    assert (late.active, late.pending, late.create, late.delete) == ("a", "b", False, ("b",))
    gone = stepped(replace(both, existing=("a",)))
    assert (gone.pending_since, gone.create, gone.delete, gone.overdue) == (late.pending_since, False, (), True)
    edited = stepped(replace(both, existing=("a",), edited=True))
    assert (edited.pending_since, edited.create, edited.overdue) == (NOON, True, False)
    alone = stepped(replace(both, existing=("b",), active=None))
    assert (alone.create, alone.delete, alone.overdue) == (True, (), True), "it is all that there is"
    beside_a_dead_one = stepped(both, active_answers=False)
    assert (beside_a_dead_one.create, beside_a_dead_one.delete) == (True, ()), "it may be the way out"
    still = stepped(replace(both, existing=("a",)), active_answers=False)
    assert still.create is False, "what was given up does not come and go with the other"
    early = stepped(replace(both, existing=("a",), pending_since=EARLIER, edited=True))
    assert early.pending_since == NOON, "a later deadline is a new try as well"
    in_time = stepped(replace(both, pending_since=EARLIER, edited=True))
    assert in_time.pending_since == EARLIER


def test_an_edit_in_a_drain_does_not_end_it_before_the_gateway_has_moved() -> None:
    draining = replace(NONE, existing=("a", "o"), active="a", draining_since=NOON - DRAIN)
    assert stepped(draining, routed=False).delete == ()
    assert stepped(draining, routed=False).draining_since == NOON - DRAIN
    assert stepped(draining).delete == ("o",)


HELD = {
    # name: (what is there, (active, delete, draining since))
    "nothing": (NONE, (None, (), None)),
    "status is lost, and an engine is up": (replace(NONE, existing=("b", "up")), (None, ("b",), None)),
    "it comes up for the first time": (replace(NONE, existing=("b",), pending="b"), (None, ("b",), None)),
    "it has come up in that moment": (replace(NONE, existing=("up",), pending="up"), (None, ("up",), None)),
    "it serves": (replace(NONE, existing=("a",), active="a"), ("a", (), None)),
    "another comes up": (replace(NONE, existing=("a", "b"), active="a", pending="b"), ("a", ("b",), None)),
    "one drains": (replace(NONE, existing=("a", "o"), active="a", draining_since=EARLIER), ("a", (), EARLIER)),
    "one has drained": (
        replace(NONE, existing=("a", "o"), active="a", draining_since=NOON - DRAIN),
        ("a", ("o",), NOON - DRAIN),
    ),
    "what served is gone": (replace(NONE, existing=("b",), active="a", pending="b"), (None, ("b",), None)),
}


@pytest.mark.parametrize(("revisions", "kept"), HELD.values(), ids=HELD)
def test_without_a_place_only_what_serves_or_drains_is_kept(revisions: Revisions, kept: tuple[Any, ...]) -> None:
    found = hold(revisions, up=["up"], routed=True, deadline=DEADLINE, drain=DRAIN, now=NOON)
    assert (found.active, found.delete, found.draining_since) == kept
    assert (found.pending, found.create) == (None, False)


def test_what_was_given_up_is_still_known_to_be_while_nothing_may_be_changed() -> None:
    gone = replace(NONE, existing=("a",), active="a", pending="b", pending_since=NOON - DEADLINE)
    for found in (
        keep(gone, deadline=DEADLINE, now=NOON),
        hold(gone, up=[], routed=True, deadline=DEADLINE, drain=DRAIN, now=NOON),
    ):
        assert (found.active, found.pending, found.pending_since) == ("a", "b", NOON - DEADLINE)
        assert (found.overdue, found.create, found.delete) == (True, False, ())
    in_time = keep(replace(gone, pending_since=EARLIER), deadline=DEADLINE, now=NOON)
    assert (in_time.pending, in_time.overdue) == (None, False)


NAMES = st.sampled_from(["a", "b", "c"])
INSTANTS = st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)).map(lambda ago: NOON - ago)
ANY = st.builds(
    Revisions,
    wanted=NAMES,
    existing=st.sets(NAMES),
    active=st.none() | NAMES,
    pending=st.none() | NAMES,
    pending_since=INSTANTS,
    draining_since=INSTANTS,
)


@given(ANY, st.booleans())
def test_blue_green_never_deletes_what_answers_nor_what_is_wanted(revisions: Revisions, answers: bool) -> None:
    found = stepped(revisions, answers and revisions.wanted in revisions.existing)
    given_up = found.overdue and found.active is not None
    assert revisions.wanted not in found.delete or given_up
    assert found.active not in found.delete
    assert set(found.delete) <= set(revisions.existing)
    if revisions.active in revisions.existing:
        assert found.active is not None


@given(ANY, st.booleans(), st.sampled_from(["BlueGreen", "Recreate"]))
def test_a_step_after_its_own_step_changes_nothing_more(revisions: Revisions, answers: bool, strategy: str) -> None:
    answers = answers and revisions.wanted in revisions.existing
    first = stepped(revisions, answers, strategy)
    existing = (set(revisions.existing) - set(first.delete)) | ({revisions.wanted} if first.create else set())
    after = Revisions(
        revisions.wanted, existing, first.active, first.pending, first.pending_since, first.draining_since
    )
    second = stepped(after, answers, strategy)
    assert (second.active, second.pending, second.delete) == (first.active, first.pending, ())
