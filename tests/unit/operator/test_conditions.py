"""Conditions as values, and how they become status."""

from datetime import timedelta

import pytest

from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.conditions import MESSAGE_MAX, Finding, false, merge, news, true
from llmservice_operator.observed import rfc3339
from tests.unit.operator.builders import NOON

LATER = NOON + timedelta(minutes=1)
STARTING = false(ConditionType.READY, Reason.STARTING, "the engine starts")
SERVING = true(ConditionType.READY, Reason.SERVING, "a token came")


@pytest.mark.parametrize(
    ("then", "moves"),
    [
        (SERVING, True),
        (STARTING, False),
        (false(ConditionType.READY, Reason.ENGINE_FAILED, "other words"), False),
        (Finding(ConditionType.READY, "Unknown", Reason.STARTING), True),
    ],
)
def test_a_transition_time_moves_only_with_the_status(then: Finding, moves: bool) -> None:
    before = merge([STARTING], [], 1, NOON)
    (after,) = merge([then], before, 2, LATER)
    assert after["lastTransitionTime"] == rfc3339(LATER if moves else NOON)
    assert (after["reason"], after["message"], after["observedGeneration"]) == (then.reason, then.message, 2)


def test_merge_keeps_the_order_and_drops_what_does_not_apply() -> None:
    before = merge([SERVING, true(ConditionType.STALLED, Reason.NO_POOL)], [], 1, NOON)
    accepted = true(ConditionType.ACCEPTED, Reason.VALID)
    assert [item["type"] for item in merge([accepted, SERVING], before, 1, NOON)] == ["Accepted", "Ready"]


def test_a_long_message_is_cut_and_types_are_plain_text() -> None:
    (found,) = merge([false(ConditionType.READY, Reason.ENGINE_FAILED, "x" * 9999)], [], 1, NOON)
    assert len(found["message"]) == MESSAGE_MAX
    assert type(found["type"]) is type(found["reason"]) is str


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (SERVING, [SERVING]),
        (STARTING, []),
        (false(ConditionType.READY, Reason.STARTING, "other words"), []),
        (true(ConditionType.ACCEPTED, Reason.VALID), []),
        (true(ConditionType.PROGRESSING, Reason.ROLLING_OUT), [true(ConditionType.PROGRESSING, Reason.ROLLING_OUT)]),
    ],
)
def test_news_are_changes_of_what_sums_up(then: Finding, told: list[Finding]) -> None:
    assert news([then], merge([STARTING], [], 1, NOON)) == told


def test_the_end_of_a_rollout_is_told_where_ready_does_not_tell_it() -> None:
    begun, rolled_out = (true(ConditionType.PROGRESSING, reason) for reason in (Reason.ROLLING_OUT, Reason.ROLLED_OUT))
    assert news([rolled_out, SERVING], merge([begun, STARTING], [], 1, NOON)) == [SERVING]
    assert news([rolled_out, SERVING], merge([begun, SERVING], [], 1, NOON)) == [rolled_out]


@pytest.mark.parametrize(
    ("finding", "trouble"),
    [
        (SERVING, False),
        (STARTING, False),
        (false(ConditionType.READY, Reason.UNSCHEDULABLE, ""), False),
        (false(ConditionType.READY, Reason.ENGINE_FAILED, ""), True),
        (false(ConditionType.READY, Reason.NO_POOL, ""), True),
    ],
)
def test_trouble_is_what_waiting_does_not_mend(finding: Finding, trouble: bool) -> None:
    assert finding.is_trouble is trouble


@pytest.mark.parametrize(
    ("before", "then", "is_told"),
    [
        ([], STARTING, False),
        ([STARTING], false(ConditionType.READY, Reason.LOADING, "…"), False),
        ([STARTING], false(ConditionType.READY, Reason.UNSCHEDULABLE, "no node"), True),
        ([STARTING], false(ConditionType.READY, Reason.ENGINE_FAILED, "…"), True),
        ([SERVING], false(ConditionType.READY, Reason.LOADING, "…"), True),
    ],
)
def test_the_steps_of_a_start_are_no_news_but_a_fall_is(before: list[Finding], then: Finding, is_told: bool) -> None:
    assert bool(news([then], merge(before, [], 1, NOON))) == is_told
