"""The agent's loop against a store in memory that fails when told."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from llmservice_gateway.agent import Agent
from llmservice_gateway.desired import NAMES, Maps
from llmservice_gateway.mapdiff import Change
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.runtime import RuntimeFailed
from llmservice_gateway.source import Event, Gone, Listed, Put
from tests.unit.gateway.builders import apikey, llmservice


class Source:
    def __init__(self, *events: Event) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        for event in events:
            self.queue.put_nowait(event)

    async def events(self) -> AsyncIterator[Event]:
        while True:
            yield await self.queue.get()
            self.queue.task_done()

    async def drained(self) -> None:
        """Returns when all events were taken in."""
        await asyncio.wait_for(self.queue.join(), 5)


class Store:
    """Maps in memory; each True in `failures` makes the next call fail."""

    def __init__(self, *failures: bool) -> None:
        self.maps: Maps = {name: {} for name in NAMES}
        self.failures = list(failures)
        self.reads = 0
        self.applied: list[int] = []
        self.wrote = asyncio.Event()

    async def read(self) -> Maps:
        self.reads += 1
        self._fail()
        return {name: dict(entries) for name, entries in self.maps.items()}

    async def apply(self, changes: Sequence[Change]) -> None:
        self._fail()
        for change in changes:
            if change.value is None:
                del self.maps[change.map][change.key]
            else:
                self.maps[change.map][change.key] = change.value
        self.applied.append(len(changes))
        self.wrote.set()

    def _fail(self) -> None:
        if self.failures and self.failures.pop(0):
            raise RuntimeFailed("told so")

    async def written(self) -> None:
        await asyncio.wait_for(self.wrote.wait(), 5)
        self.wrote.clear()


def agent_of(source: Source, store: Store, resync: float = 60) -> tuple[Agent, Metrics]:
    metrics = Metrics()
    return Agent(source, store, metrics, "probe", lambda: 7.0, resync, retry=0.001), metrics


@pytest.fixture
def source() -> Source:
    return Source(Listed("apikeys", [apikey(1)]), Listed("llmservices", [llmservice("a")]))


async def test_nothing_is_written_before_both_kinds_are_listed() -> None:
    source, store = Source(Listed("apikeys", []), Put("llmservices", llmservice("a"))), Store()
    agent, _ = agent_of(source, store)
    task = asyncio.create_task(agent.run())
    await source.drained()
    assert (agent.ready, store.applied) == (False, [])
    source.queue.put_nowait(Listed("llmservices", []))
    await store.written()
    assert store.maps["state"] == {"synced": "1"}
    assert store.maps["routes"] == {}
    await cancel(task)


async def test_changes_are_written_without_reading_again(source: Source) -> None:
    store = Store()
    agent, metrics = agent_of(source, store)
    task = asyncio.create_task(agent.run())
    await store.written()
    for event in (
        Put("llmservices", llmservice("b")),
        Gone("llmservices", llmservice("a")),
        Gone("apikeys", apikey(1)),
    ):
        source.queue.put_nowait(event)
        await store.written()
    assert set(store.maps["routes"]) == {"team-a/b"}
    assert set(store.maps["keys"]) == {"probe"}
    assert store.reads == 1
    assert agent.ready
    assert b"llmservice_gateway_last_sync_timestamp_seconds 7.0" in metrics.text()
    await cancel(task)


async def test_a_burst_is_written_once(source: Source) -> None:
    store = Store()
    agent, _ = agent_of(source, store)
    task = asyncio.create_task(agent.run())
    await store.written()
    for number in range(100):
        source.queue.put_nowait(Put("apikeys", apikey(number)))
    await store.written()
    assert len(store.applied) == 2
    assert len(store.maps["keys"]) == 101
    await cancel(task)


async def test_a_failure_is_tried_again_from_what_haproxy_holds(source: Source) -> None:
    store = Store(True, False, True)
    agent, metrics = agent_of(source, store)
    task = asyncio.create_task(agent.run())
    await store.written()
    assert store.reads == 3
    assert b'failures_total{what="haproxy"} 2.0' in metrics.text()
    await cancel(task)


async def test_it_compares_anew_at_intervals(source: Source) -> None:
    store = Store()
    agent, _ = agent_of(source, store, resync=0.001)
    task = asyncio.create_task(agent.run())
    await store.written()
    store.maps["keys"].clear()
    while not store.maps["keys"]:
        await store.written()
    assert store.reads > 1
    await cancel(task)


async def cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
