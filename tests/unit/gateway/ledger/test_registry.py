"""What is known of keys, prices and Budgets, event by event."""

from typing import Any

import pytest

from llmservice_gateway.ledger.pricing import Price
from llmservice_gateway.ledger.records import Key
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.source import Event, Gone, Listed, Put
from tests.unit.gateway.ledger.builders import KEY, Json, budget, key, priced

PLACE = ("team-a", "monthly")
OLD = f"{9:016x}"


def after(*events: Event, keys: tuple[Key, ...] = ()) -> Registry:
    registry = Registry(lambda: 77, keys)
    for event in events:
        registry.take(event)
    return registry


@pytest.mark.parametrize(
    ("events", "spenders"),
    [
        pytest.param([Listed("apikeys", [key(1, "monthly")])], [KEY], id="listed"),
        pytest.param([Put("apikeys", key(1, "monthly"))], [KEY], id="put"),
        pytest.param([Put("apikeys", key(1, "monthly", previous={"id": OLD}))], [KEY, OLD], id="with the key before"),
        pytest.param(
            [Put("apikeys", key(1, "monthly", previous={"id": OLD})), Put("apikeys", key(1, "monthly"))],
            [KEY],
            id="the key before has ended",
        ),
        pytest.param([Put("apikeys", key(1, "monthly")), Put("apikeys", key(1, "daily"))], [], id="another budget"),
        pytest.param([Put("apikeys", key(1, "monthly")), Put("apikeys", key(1))], [], id="no budget any more"),
        pytest.param([Put("apikeys", key(1, "monthly")), Gone("apikeys", key(1, "monthly"))], [], id="gone"),
        pytest.param([Put("apikeys", key(1, "monthly")), Listed("apikeys", [])], [], id="not listed any more"),
        pytest.param([Put("apikeys", key(1, "monthly", namespace="team-b"))], [], id="of another namespace"),
    ],
)
def test_who_spends_from_a_budget(events: list[Event], spenders: list[str]) -> None:
    assert after(*events).spenders(PLACE) == sorted(spenders)


def test_a_deleted_key_is_known_for_its_last_events() -> None:
    registry = after(Put("apikeys", key(1, "monthly")), Listed("apikeys", []))
    found = registry.key(KEY, "team-a")
    assert found is not None
    assert (found.budget, found.gone) == ("monthly", 77)
    assert registry.key(KEY, "team-b") is None


def test_a_key_that_comes_back_spends_again() -> None:
    known = Key(KEY, "team-a", "key-1", "Application", "monthly", 0, None, gone=5)
    assert after(keys=(known,)).spenders(PLACE) == []
    assert after(Listed("apikeys", [key(1, "monthly")]), keys=(known,)).spenders(PLACE) == [KEY]


def test_prices_stay_when_their_service_goes() -> None:
    registry = after(Put("llmservices", priced()), Gone("llmservices", priced()))
    assert registry.price("team-a", "llama") == Price(10_000, 5_000, 20_000)
    assert registry.price("team-b", "llama") is None


def test_what_changed_waits_to_be_saved_and_nothing_else() -> None:
    registry = after(Put("apikeys", key(1)), Put("llmservices", priced()), Put("budgets", budget()))
    assert set(registry.unsaved) == {("key", KEY), ("price", "team-a", "llama")}
    registry.unsaved.clear()
    registry.take(Listed("apikeys", [key(1)]))
    registry.take(Put("llmservices", priced()))
    assert registry.unsaved == {}


def test_it_is_complete_once_all_three_kinds_were_listed() -> None:
    lists = [Listed("apikeys", []), Listed("llmservices", []), Listed("budgets", [])]
    for count in range(3):
        assert not after(*lists[:count]).complete
    assert after(*lists).complete


@pytest.mark.parametrize(
    "events",
    [
        [Put("budgets", budget(tokens=5)), Gone("budgets", budget())],
        [Put("budgets", budget(tokens=5)), Listed("budgets", [])],
        [Put("budgets", budget(tokens=5)), Put("budgets", budget(tokens="many"))],
    ],
)
def test_budgets_come_and_go(events: list[Event]) -> None:
    assert [each.tokens for each in after(events[0]).budgets.values()] == [5]
    assert after(*events).budgets == {}


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"metadata": {"namespace": "team-a", "name": "x"}},
        {"metadata": None, "spec": [], "status": "x"},
        {"metadata": {"namespace": 1, "name": []}, "spec": {}, "status": {"id": "short"}},
        key(1) | {"status": {}},
        priced() | {"status": {"pricing": {"promptPerMillion": "-1", "completionPerMillion": "x"}}},
        budget(window="Year"),
        budget(cost="1e9"),
    ],
)
@pytest.mark.parametrize("kind", ["apikeys", "llmservices", "budgets"])
def test_odd_objects_are_none_and_harm_no_other(raw: Json, kind: Any) -> None:
    registry = after(Listed(kind, [raw, {"metadata": {}}]), Put("apikeys", key(2, "monthly")))
    assert registry.spenders(PLACE) == [f"{2:016x}"]
    assert registry.budgets == {} or kind == "budgets"


def test_cached_tokens_cost_as_others_unless_said() -> None:
    raw = priced()
    del raw["status"]["pricing"]["cachedPerMillion"]
    assert after(Put("llmservices", raw)).price("team-a", "llama") == Price(10_000, 10_000, 20_000)


def test_a_service_without_prices_is_free() -> None:
    raw = priced() | {"status": {}}
    assert after(Put("llmservices", raw)).price("team-a", "llama") == Price()
