"""Tables, migrations and sums, on SQLite; PostgreSQL's turn is in the integration tests."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, select, text

from llmservice_gateway.ledger import database
from llmservice_gateway.ledger.budgets import window_starts
from llmservice_gateway.ledger.entries import Entry, entry, spendings, usage_rows
from llmservice_gateway.ledger.event import Event, parse
from llmservice_gateway.ledger.pricing import Cost, Price
from llmservice_gateway.ledger.records import Key, Priced
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.schema import EVENTS, METADATA, SPENDING, USAGE
from llmservice_gateway.ledger.store import Store, StoreFailed
from llmservice_gateway.ledger.windows import DAY
from llmservice_gateway.source import Put
from tests.unit.gateway.ledger.builders import KEY, Json, budget, key, priced, usage
from tests.unit.gateway.ledger.test_event import body

NOON = 1772366400000


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = database.sqlite(tmp_path / "ledger.sqlite")
    database.migrate(found)
    return found


def entries(*events: Json) -> list[Entry]:
    registry = Registry(lambda: 0)
    registry.take(Put("apikeys", key(1, "monthly")))
    registry.take(Put("llmservices", priced()))
    parsed: list[Event] = parse(body(*events))
    return [entry(each, registry, NOON, 0) for each in parsed]


def test_migrations_make_the_tables_that_are_used(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    database.migrate(engine)


def test_a_later_versions_database_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(database.DatabaseUnusable, match="written by a later one"):
        database.migrate(engine)


def test_commits_are_on_disk_when_they_return(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_an_event_is_stored_once_however_often_it_comes(engine: Engine) -> None:
    store = Store(engine)
    events = [usage() for _ in range(20)]
    assert len(store.record(entries(*events, *events))) == 20
    assert store.record(entries(*events)) == []
    assert len(store.record(entries(*events, usage()))) == 1
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(EVENTS)).scalar() == 21
        assert connection.execute(select(func.sum(USAGE.c.requests))).scalar() == 21
        assert set(connection.execute(select(SPENDING.c.tokens)).scalars()) == {21 * 110}


def test_sums_are_those_of_the_events_in_any_order_and_batches(engine: Engine) -> None:
    chance = random.Random(7)
    events = [
        usage(
            f"2026-03-0{chance.randint(1, 3)}T12:00:{chance.randint(0, 59):02}Z",
            model=chance.choice(["a", "b"]),
            prompt_tokens=chance.randint(40, 500),
            key_id=chance.choice([KEY, "", "unknown"]),
        )
        for _ in range(300)
    ]
    store = Store(engine)
    at = 0
    while at < len(events):
        length = chance.randint(1, 40)
        store.record(entries(*events[at : at + length]))
        at += chance.randint(1, length)
    whole = entries(*events)
    with engine.connect() as connection:
        rows = connection.execute(select(USAGE).order_by(*USAGE.primary_key)).mappings()
        assert [dict(row) for row in rows] == usage_rows(whole)
    found = store.spent({"Day": 0, "Month": 0, "Once": 0})
    assert sorted(found, key=lambda each: each.place) == spendings(whole)


def test_only_keys_of_the_events_namespace_pay(engine: Engine) -> None:
    store = Store(engine)
    store.record(entries(usage(), usage(namespace="team-b"), usage(key_id=""), usage(key_id="unknown")))
    assert {each.tokens for each in store.spent({"Day": 0, "Month": 0, "Once": 0})} == {110}
    assert store.tokens_since(0) == {
        (key_id, namespace, NOON // 60_000): 110
        for key_id, namespace in ((KEY, "team-a"), (KEY, "team-b"), ("", "team-a"), ("unknown", "team-a"))
    }


def test_who_is_charged_is_kept_with_the_event(engine: Engine) -> None:
    registry = Registry(lambda: 0)
    for raw in (key(1, "monthly"), key(2, "gone"), key(3)):
        registry.take(Put("apikeys", raw))
    registry.take(Put("budgets", budget(tokens=1, costCenter="4711")))
    events = parse(body(*[usage(key_id=f"{number:016x}") for number in (1, 2, 3)]))
    Store(engine).record([entry(each, registry, NOON, 0) for each in events])
    with engine.connect() as connection:
        rows = connection.execute(select(EVENTS.c.budget, EVENTS.c.cost_center).order_by(EVENTS.c.key_id))
        assert [tuple(row) for row in rows] == [("monthly", "4711"), ("gone", None), (None, None)]


def test_open_windows_are_read_back(engine: Engine) -> None:
    store = Store(engine)
    store.record(entries(usage("2026-02-28T23:59:00Z"), usage("2026-03-01T12:00:00Z"), usage("2026-03-02T01:00:00Z")))
    found = {(each.window, each.start // DAY): each.tokens for each in store.spent(window_starts(NOON))}
    assert found == {("Day", 20513): 110, ("Day", 20514): 110, ("Month", 20513): 220, ("Once", 0): 330}


def test_keys_and_prices_are_kept_as_they_were_last(engine: Engine) -> None:
    store = Store(engine)
    one = Key(KEY, "team-a", "key-1", "Application", "monthly", 5, None)
    gone = Key(KEY, "team-a", "key-1", "Application", "daily", 5, 9, 7)
    store.save([one, Priced("team-a", "llama", Price(1, 2, 3))])
    store.save([gone, Priced("team-a", "llama", Price(4, 5, 6)), Priced("team-b", "llama", Price())])
    store.save([])
    assert store.known_keys() == [gone]
    assert sorted(store.known_prices(), key=lambda each: each.namespace) == [
        Priced("team-a", "llama", Price(4, 5, 6)),
        Priced("team-b", "llama", Price()),
    ]


def test_what_is_old_is_swept_a_little_at_a_time(engine: Engine) -> None:
    store = Store(engine)
    store.record(entries(*[usage("2026-01-01T00:00:00Z", model=f"m{number}") for number in range(25)], usage()))
    swept = [store.sweep(NOON - 10 * DAY, 10) for _ in range(4)]
    assert swept == [10, 10, 5, 0]
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(EVENTS)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(USAGE)).scalar() == 1
        kept = {tuple(row) for row in connection.execute(select(SPENDING.c.window, SPENDING.c.tokens))}
    assert kept == {("Day", 110), ("Month", 110), ("Once", 26 * 110)}


def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    store = Store(database.sqlite(tmp_path / "nowhere" / "ledger.sqlite"))
    with pytest.raises(StoreFailed, match="unable to open database file"):
        store.check()


def test_a_number_that_the_database_has_no_room_for_is_said(engine: Engine) -> None:
    (dear,) = [replace(each, cost=Cost(2**63, 0, 0)) for each in entries(usage())]
    with pytest.raises(StoreFailed, match="OverflowError"):
        Store(engine).record([dear])
    assert len(Store(engine).record(entries(usage()))) == 1
