"""Thousands who wait for a model, and what they cost; the services and the model are the test's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import cast

import aiohttp
import pytest

from llmservice_gateway.bell import Bell
from llmservice_gateway.doorkeeper import Doorkeeper, Passage
from llmservice_gateway.errors import Refused
from llmservice_gateway.forwarding import Asked, Upstreams
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import Address, Hold, Service

CROWD = 400
COLD = Service("team-a", "m", 0, ("m",), None, None, False, replicas=0, hold=Hold(CROWD, 60))
UP = replace(COLD, address=Address("10.0.0.1", 8000), replicas=1)


@dataclass
class Known:
    """One service, and how often somebody looked at it."""

    now: Service | None = COLD
    changes: Bell = field(default_factory=Bell)
    looks: int = 0

    def service(self, _route: str) -> Service | None:
        """As it is now."""
        self.looks += 1
        return self.now


@dataclass
class Answer:
    """Of a model."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass
class Model:
    """Answers each that is sent."""

    asked: list[bytes] = field(default_factory=list)

    async def ask(self, _: Address, asked: Asked, sent: Callable[[], None]) -> Answer:
        """As a model that is up."""
        await asyncio.sleep(0)
        sent()
        self.asked.append(asked.body)
        await asyncio.sleep(0)
        return Answer()


async def turns() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Crowd:
    """Requests that came one after the other, and wait."""

    known: Known = field(default_factory=Known)
    model: Model = field(default_factory=Model)
    tasks: list[asyncio.Task[tuple[Address, aiohttp.ClientResponse]]] = field(default_factory=list)

    def learn(self, service: Service | None) -> None:
        """The cluster says something new."""
        self.known.now = service
        self.known.changes.ring()


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    found = Crowd()
    keeper = Doorkeeper(found.known, cast(Upstreams, found.model), lambda *_: None, Metrics(), 60)
    passages = [Passage("team-a/m", Asked("/", {}, str(i).encode()), lambda: None) for i in range(CROWD)]
    running = asyncio.create_task(keeper.run())
    found.tasks = [asyncio.create_task(keeper.answer(passage)) for passage in passages]
    await turns()
    yield found
    running.cancel()


async def test_a_crowd_goes_in_order_and_looks_a_few_times_each(crowd: Crowd) -> None:
    crowd.learn(UP)
    async with asyncio.timeout(30):
        await asyncio.gather(*crowd.tasks)
    assert crowd.model.asked == [str(i).encode() for i in range(CROWD)]
    assert crowd.known.looks < 15 * CROWD


async def test_all_that_wait_for_what_goes_away_are_told(crowd: Crowd) -> None:
    crowd.learn(None)
    async with asyncio.timeout(30):
        ends = await asyncio.gather(*crowd.tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [Refused] * CROWD
    assert crowd.model.asked == []


async def test_who_leaves_from_the_head_lets_the_next_go(crowd: Crowd) -> None:
    for task in crowd.tasks[: CROWD // 2]:
        task.cancel()
    crowd.learn(UP)
    async with asyncio.timeout(30):
        await asyncio.gather(*crowd.tasks[CROWD // 2 :])
    assert crowd.model.asked == [str(i).encode() for i in range(CROWD // 2, CROWD)]
