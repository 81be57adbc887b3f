"""Budgets: what is used, who is blocked, what status and Events say."""

from typing import Any

import pytest

from llmservice_api.pricing import UNITS
from llmservice_gateway.ledger.budgets import Block, Spending, Used, blocks, crossed, differs, status
from llmservice_gateway.ledger.entries import Spent
from llmservice_gateway.ledger.records import Budget
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.reporter import event
from llmservice_gateway.ledger.windows import DAY
from llmservice_gateway.objects import NEVER
from llmservice_gateway.source import Put
from tests.unit.gateway.ledger.builders import KEY, budget, key

NOW = 20_500 * DAY + 12 * 3_600_000


def a_budget(tokens: int | None = None, cost: int | None = None, **fields: Any) -> Budget:
    return Budget("team-a", "daily", "uid", 3, "Day", tokens, cost, **fields)


def used(tokens: int = 0, cost: int = 0, /, **bounds: Any) -> Used:
    return Used(a_budget(**bounds), 20_500 * DAY, 20_501 * DAY, tokens, cost)


@pytest.mark.parametrize(
    ("found", "percent", "spent"),
    [
        pytest.param(used(0, tokens=100), 0, False, id="nothing"),
        pytest.param(used(99, tokens=100), 99, False, id="almost"),
        pytest.param(used(999, tokens=1000), 99, False, id="rounded down"),
        pytest.param(used(100, tokens=100), 100, True, id="all"),
        pytest.param(used(250, tokens=100), 250, True, id="more"),
        pytest.param(used(50, 9 * UNITS, tokens=100, cost=10 * UNITS), 90, False, id="the larger: cost"),
        pytest.param(used(95, 9 * UNITS, tokens=100, cost=10 * UNITS), 95, False, id="the larger: tokens"),
        pytest.param(used(10**9, 10 * UNITS, cost=10 * UNITS), 100, True, id="tokens are not bounded"),
        pytest.param(used(10**9), 0, False, id="nothing is bounded"),
        pytest.param(used(0, tokens=0), 100, True, id="a bound of nothing"),
    ],
)
def test_how_much_is_used(found: Used, percent: int, spent: bool) -> None:
    assert (found.percent, found.spent) == (percent, spent)


def spending(*spent: Spent) -> Spending:
    found = Spending()
    found.add(spent)
    return found


def test_what_is_added_is_added_and_what_is_replaced_is_forgotten() -> None:
    one = Spent("team-a", "daily", "Day", 20_500 * DAY, 3, 4)
    found = spending(one, one)
    found.add([one])
    assert found.used(a_budget(), NOW).tokens == 9
    found.replace([one])
    assert (found.used(a_budget(), NOW).tokens, found.used(a_budget(), NOW).cost) == (3, 4)


def test_a_new_window_begins_with_what_was_told_for_it() -> None:
    ahead = Spent("team-a", "daily", "Day", 20_501 * DAY, 5, 0)
    found = spending(Spent("team-a", "daily", "Day", 20_500 * DAY, 3, 0), ahead)
    found.forget(NOW + DAY)
    assert found.used(a_budget(), NOW + DAY).tokens == 5
    assert found.used(a_budget(), NOW).tokens == 0


@pytest.mark.parametrize(("window", "until"), [("Day", 20_501 * DAY), ("Once", NEVER)])
def test_a_spent_budget_blocks_its_keys_until_its_window_ends(window: str, until: int) -> None:
    registry = Registry(lambda: NOW)
    for raw in (key(1, "daily"), key(2, "other"), key(3, "daily", namespace="team-b"), key(4)):
        registry.take(Put("apikeys", raw))
    registry.take(Put("budgets", budget("daily", window=window, tokens=10)))
    begun = 20_500 * DAY if window == "Day" else 0
    spent = Spent("team-a", "daily", window, begun, 10, 0)  # type: ignore[arg-type]
    assert blocks(registry, spending(spent), NOW) == {KEY: Block(until, "daily")}
    assert blocks(registry, spending(), NOW) == {}


def test_status_says_what_is_used() -> None:
    said = status(used(50, UNITS * 5 // 2, tokens=100, cost=10 * UNITS), NOW)
    conditions = {each["type"]: (each["status"], each["reason"]) for each in said.pop("conditions")}
    assert said == {
        "observedGeneration": 3,
        "windowStart": "2026-02-16T00:00:00Z",
        "used": {"tokens": 50, "cost": "2.5000"},
        "percent": 50,
    }
    assert conditions == {"Ready": ("True", "Counted"), "Spent": ("False", "WithinBudget")}
    full = status(used(100, tokens=100), NOW)["conditions"]
    assert [(each["status"], each["reason"]) for each in full if each["type"] == "Spent"] == [("True", "Exhausted")]


def test_a_conditions_time_moves_only_with_its_status() -> None:
    before = status(used(50, tokens=100), NOW)
    now = Used(a_budget(100, status=before), 20_500 * DAY, 20_501 * DAY, 100, 0)
    times = {each["type"]: each["lastTransitionTime"] for each in status(now, NOW + 3_600_000)["conditions"]}
    assert times == {"Ready": "2026-02-16T12:00:00Z", "Spent": "2026-02-16T13:00:00Z"}


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        pytest.param(None, used(0, tokens=100), True, id="there is none"),
        pytest.param(used(501, tokens=1000), used(509, tokens=1000), False, id="the same percent"),
        pytest.param(used(50, tokens=100), used(51, tokens=100), True, id="another percent"),
        pytest.param(used(50, tokens=100), used(500, tokens=1000), False, id="another bound, the same percent"),
        pytest.param(
            Used(a_budget(100), 20_499 * DAY, 20_500 * DAY, 5, 0), used(5, tokens=100), True, id="another window"
        ),
    ],
)
def test_status_is_written_where_it_says_something_new(before: Used | None, after: Used, written: bool) -> None:
    held = status(before, NOW) if before else {}
    assert differs(a_budget(status=held), status(after, NOW)) is written


@pytest.mark.parametrize(
    ("told", "window", "now", "thresholds"),
    [
        (None, 0, 79, []),
        (None, 0, 80, [80]),
        (None, 0, 120, [80, 100]),
        (80, 0, 99, []),
        (80, 0, 100, [100]),
        (100, 0, 100, []),
        (100, -1, 85, [80]),
        (100, 0, 50, []),
    ],
)
def test_thresholds_are_told_once_a_window(told: int | None, window: int, now: int, thresholds: list[int]) -> None:
    held = {} if told is None else status(Used(a_budget(100), (20_500 + window) * DAY, 0, told, 0), NOW)
    assert crossed(Used(a_budget(100, status=held), 20_500 * DAY, 20_501 * DAY, now, 0)) == thresholds


@pytest.mark.parametrize("held", [{"percent": "x", "windowStart": 1}, {"conditions": "x"}, {"conditions": [1, {}]}])
def test_a_status_that_somebody_else_wrote_is_no_obstacle(held: dict[str, Any]) -> None:
    found = Used(a_budget(100, status=held), 20_500 * DAY, 20_501 * DAY, 85, 0)
    assert crossed(found) == [80]
    assert differs(found.budget, status(found, NOW))


def test_an_event_told_twice_has_one_name_and_another_window_another() -> None:
    names = [
        event(found, threshold, now)["metadata"]["name"]
        for found, threshold, now in (
            (used(85, tokens=100), 80, NOW),
            (used(90, tokens=100), 80, NOW + 1),
            (used(100, tokens=100), 100, NOW),
            (Used(a_budget(100), 20_501 * DAY, 0, 85, 0), 80, NOW),
        )
    ]
    assert len(set(names)) == 3
    assert names[0] == names[1]
    said = event(used(100, tokens=100), 100, NOW)
    assert (said["reason"], said["type"], said["eventTime"]) == (
        "BudgetSpent",
        "Warning",
        "2026-02-16T12:00:00.000000Z",
    )
