import asyncio
from collections.abc import Awaitable, Callable

import pytest

from llmservice_worker.engine_life import MOST_RESTARTS, WITHIN_S, EngineAway, EngineLife, may_restart
from tests.eventually import eventually


class Engine:
    """An engine that ends when it is told to, and starts again unless `broken`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.starts = 0
        self.broken = False
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.may_start = asyncio.Event()

    async def restart(self) -> None:
        await self.may_start.wait()
        self.starts += 1
        if self.broken:
            raise ValueError("/a/path")

    def life(self) -> EngineLife:
        return EngineLife(self.restart, lambda: self.now)


async def running(engine: Engine, life: EngineLife, use: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(life.run(engine.ends.get))
    try:
        await use()
    finally:
        task.cancel()


@pytest.mark.parametrize(
    ("earlier", "now", "may"),
    [
        ([], 0.0, True),
        ([0.0] * (MOST_RESTARTS - 1), 1.0, True),
        ([0.0] * MOST_RESTARTS, 1.0, False),
        ([0.0] * MOST_RESTARTS, WITHIN_S, True),
        ([0.0, *[500.0] * (MOST_RESTARTS - 1)], WITHIN_S, True),
    ],
)
def test_restarts_are_bounded_within_a_time(earlier: list[float], now: float, may: bool) -> None:
    assert may_restart(earlier, now) is may


async def test_health_fails_once_then_waits_until_the_engine_is_back() -> None:
    engine = Engine()
    life = engine.life()

    async def use() -> None:
        await life.check_health()
        engine.ends.put_nowait("it died")
        await eventually(lambda: not life.is_ready)
        assert life.report() == {"state": "Restarting", "reason": "it died"}
        with pytest.raises(EngineAway, match="it died"):
            await life.check_health()
        second = asyncio.create_task(life.check_health())
        await asyncio.sleep(0)
        assert not second.done()
        engine.may_start.set()
        await second
        assert life.report() == {"state": "Ready", "reason": "it died"}
        assert engine.starts == 1

    await running(engine, life, use)


async def test_each_death_is_told_anew() -> None:
    engine = Engine()
    engine.may_start.set()
    life = engine.life()

    async def use() -> None:
        for count in (1, 2):
            engine.may_start.clear()
            engine.ends.put_nowait(f"death {count}")
            await eventually(lambda: not life.is_ready)
            with pytest.raises(EngineAway, match=f"death {count}"):
                await life.check_health()
            engine.may_start.set()
            await eventually(lambda: life.is_ready)

    await running(engine, life, use)


async def test_an_engine_that_ends_too_often_is_given_up() -> None:
    engine = Engine()
    engine.may_start.set()
    life = engine.life()
    for _ in range(MOST_RESTARTS + 1):
        engine.ends.put_nowait("it died")
    assert await life.run(engine.ends.get) == "it died"
    assert engine.starts == MOST_RESTARTS
    assert life.report()["state"] == "Failed"


async def test_an_engine_that_does_not_start_again_is_given_up() -> None:
    engine = Engine()
    engine.may_start.set()
    engine.broken = True
    life = engine.life()
    engine.ends.put_nowait("it died")
    reason = await life.run(engine.ends.get)
    assert reason == "it died; then it did not start again: ValueError"
    assert not life.is_ready
