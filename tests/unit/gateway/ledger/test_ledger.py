"""The core with a database that fails as the test says: nothing is counted twice, nothing is forgotten."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmservice_gateway.ledger import database
from llmservice_gateway.ledger.entries import SETTLED_MS, Entry, Unsettled
from llmservice_gateway.ledger.event import Refused, parse
from llmservice_gateway.ledger.ledger import Ledger, Stored
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.store import Store, StoreFailed
from llmservice_gateway.ledger.windows import DAY, MINUTE
from llmservice_gateway.source import Listed, Put
from tests.eventually import eventually
from tests.unit.gateway.ledger.builders import KEY, Json, budget, key, priced, usage
from tests.unit.gateway.ledger.test_event import body

NOON = 1772366400000


class Flaky(Store):
    """Says that it failed `before` or `after` the commit, as many times as asked."""

    before = 0
    after = 0

    def record(self, entries: Sequence[Entry]) -> list[Entry]:
        if self.before > 0:
            self.before -= 1
            raise StoreFailed("before")
        found = super().record(entries)
        if self.after > 0:
            self.after -= 1
            raise StoreFailed("after")
        return found


class World:
    """A ledger with one key and one Budget of 1000 tokens a day, and a clock to turn."""

    def __init__(self, folder: Path) -> None:
        engine = database.sqlite(folder / "ledger.sqlite")
        database.migrate(engine)
        self.now = NOON
        self.store = Flaky(engine)
        self.metrics = Metrics()
        self.ledger = self.another()

    def another(self) -> Ledger:
        registry = Registry(lambda: self.now, self.store.known_keys(), self.store.known_prices())
        registry.take(Listed("apikeys", [key(1, "daily")]))
        registry.take(Listed("budgets", [budget("daily", window="Day", tokens=1000)]))
        registry.take(Listed("llmservices", [priced()]))
        return Ledger(self.store, registry, self.metrics, lambda: self.now, 400, retry=0.01)

    async def record(self, *events: Json) -> Stored:
        return await self.ledger.record(parse(body(*events)))

    async def told(self, version: int = 0, wait: float = 0) -> tuple[int, set[str], int]:
        """Version, blocked keys, and the key's tokens of its newest minute."""
        news = await self.ledger.sync("a", version, wait, {})
        return news.version, set(news.blocks), news.keys[KEY].tokens if KEY in news.keys else 0


@pytest.fixture
async def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    await found.ledger.load()
    return found


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_post_whose_end_is_not_known_counts_once_when_it_comes_again(world: World, when: str) -> None:
    events = [usage(completion_tokens=100, prompt_tokens=0, cached_tokens=0) for _ in range(10)]
    setattr(world.store, when, 2)
    for _ in range(2):
        with pytest.raises(StoreFailed):
            await world.record(*events)
    assert await world.record(*events) == (Stored(10, 0) if when == "before" else Stored(0, 10))
    _, blocked, tokens = await world.told()
    assert (blocked, tokens) == ({KEY}, 1000)


async def test_posts_at_once_are_counted_once_each(world: World) -> None:
    posts = [[usage() for _ in range(5)] for _ in range(10)]
    found = await asyncio.gather(*(world.record(*each) for each in posts * 3))
    assert sum(each.stored for each in found) == 50
    assert (await world.told())[2] == 50 * 110


async def test_a_block_ends_with_its_window_and_another_ledger_knows_it(world: World) -> None:
    await world.record(*[usage() for _ in range(10)])
    version, blocked, _ = await world.told()
    assert blocked == {KEY}
    world.ledger = world.another()
    await world.ledger.load()
    assert (await world.told())[1] == {KEY}
    world.now += DAY
    later, blocked, _ = await world.told()
    assert blocked == set()
    assert later > version


async def test_a_gateway_hears_of_a_block_while_it_waits(world: World) -> None:
    version, _, _ = await world.told()
    waiting = asyncio.create_task(world.told(version, wait=30))
    await world.record(*[usage() for _ in range(9)])
    await asyncio.sleep(0)
    assert not waiting.done()
    await world.record(usage())
    assert (await waiting)[1] == {KEY}


async def test_a_wait_without_news_ends(world: World) -> None:
    version, _, _ = await world.told()
    assert await world.told(version, wait=0.01) == (version, set(), 0)


async def test_an_event_of_a_wrong_clock_spends_now(world: World) -> None:
    await world.record(
        *[usage("1970-01-01T00:00:00Z") for _ in range(5)], *[usage("2027-01-01T00:00:00Z") for _ in range(5)]
    )
    assert (await world.told())[1] == {KEY}


async def test_tokens_of_a_worker_whose_clock_is_ahead_count_now(world: World) -> None:
    await world.record(usage("2026-03-01T12:00:59Z"), usage("2026-03-01T12:30:00Z"))
    news = await world.ledger.sync("a", 0, 0, {})
    assert (news.keys[KEY].minute, news.keys[KEY].tokens) == (NOON // 60_000, 220)
    world.ledger = world.another()
    await world.ledger.load()
    assert (await world.told())[2] == 220


async def test_keys_are_saved_for_the_next_start_also_after_a_failure(world: World, tmp_path: Path) -> None:
    broken = Ledger(
        Store(database.sqlite(tmp_path / "no" / "x")), world.ledger.registry, world.metrics, lambda: NOON, 400, 0.01
    )
    failing = asyncio.create_task(broken.keep_registry())
    broken._to_save.set()
    await eventually(lambda: world.metrics.failures.labels("database")._value.get() >= 2)
    failing.cancel()
    keeping = asyncio.create_task(world.ledger.keep_registry())
    world.ledger._to_save.set()
    await eventually(lambda: [each.id for each in world.store.known_keys()] == [KEY])
    await eventually(lambda: world.ledger.registry.unsaved == {})
    keeping.cancel()


async def test_old_events_are_swept_and_spending_in_open_windows_stays(world: World) -> None:
    await world.record(*[usage() for _ in range(10)])
    world.now += 401 * DAY
    assert await world.ledger.sweep() == 10
    assert await world.ledger.sweep() == 0
    assert await world.record(usage()) == Stored(1, 0)


async def test_an_event_that_no_sum_has_room_for_is_refused_and_the_others_can_be_stored(world: World) -> None:
    world.ledger.registry.take(Put("llmservices", priced(*["999999"] * 3)))
    dear = usage(prompt_tokens=100_001, cached_tokens=0, completion_tokens=0)
    most = [usage(prompt_tokens=100_000, cached_tokens=0, completion_tokens=0) for _ in range(499)]
    with pytest.raises(Refused, match=r"cost more than 100000\.") as refused:
        await world.record(*most, dear)
    assert refused.value.param == "events[499]"
    assert await world.record(*most) == Stored(499, 0)


@pytest.mark.parametrize(
    ("fields", "figure"),
    [({"key_id": f"{2:016x}"}, "unattributed"), ({"service": "mistral"}, "unpriced")],
    ids=["key", "service"],
)
async def test_what_the_cluster_tells_late_is_waited_for_and_not_for_ever(
    world: World, fields: Json, figure: str
) -> None:
    unknown = usage(**fields)
    with pytest.raises(Unsettled, match=rf"^events\[1\].{next(iter(fields))} "):
        await world.record(usage(), unknown)
    world.now += SETTLED_MS - 1
    with pytest.raises(Unsettled):
        await world.record(unknown)
    world.now += 1
    assert await world.record(unknown) == Stored(1, 0)
    name = f"llmservice_ledger_{figure}_events_total"
    assert world.metrics.registry.get_sample_value(name, {"namespace": "team-a"}) == 1


async def test_an_event_that_came_before_its_key_spends_from_its_budget(world: World) -> None:
    events = [usage(key_id=f"{2:016x}") for _ in range(10)]
    with pytest.raises(Unsettled):
        await world.record(*events)
    world.ledger.registry.take(Put("apikeys", key(2, "daily")))
    assert await world.record(*events) == Stored(10, 0)
    assert (await world.told())[1] == {KEY, f"{2:016x}"}


@pytest.mark.parametrize(
    "fields",
    [{"key_id": ""}, {"key_id": "probe"}, {"namespace": "team-b"}, {"time": "2026-03-01T12:05:00Z", "key_id": "x"}],
    ids=["no key", "the operator's", "another namespace's", "from ahead"],
)
async def test_what_no_news_can_change_is_stored_at_once(world: World, fields: Json) -> None:
    world.ledger.registry.take(Put("llmservices", priced(namespace="team-b")))
    assert await world.record(usage(**fields)) == Stored(1, 0)


async def test_a_clock_that_went_ahead_and_back_opens_no_spent_budget(world: World) -> None:
    keeping = asyncio.create_task(world.ledger.keep_loaded())
    await world.record(*[usage() for _ in range(10)])
    assert (await world.told())[1:] == ({KEY}, 1100)
    for ahead in (DAY, 10 * MINUTE):
        world.now += ahead
        await world.told()
        world.now -= ahead
        await world.told()
        assert not world.ledger.ready
        await eventually(lambda: world.ledger.ready)
        assert (await world.told())[1:] == ({KEY}, 1100)
    keeping.cancel()


async def test_who_is_blocked_stays_until_what_was_spent_can_be_read_again(world: World) -> None:
    await world.record(*[usage() for _ in range(10)])
    await world.told()
    world.now -= MINUTE
    for _ in range(2):
        assert (await world.told())[1] == {KEY}
        assert not world.ledger.ready
    keeping = asyncio.create_task(world.ledger.keep_loaded())
    await eventually(lambda: world.ledger.ready)
    assert (await world.told())[1] == {KEY}
    keeping.cancel()
