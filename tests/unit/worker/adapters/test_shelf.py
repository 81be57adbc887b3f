import asyncio
import logging

import pytest

from llmservice_worker.adapters.shelf import UNUSED_S, Shelf
from tests.unit.worker.adapters.world import Clock, Engine, Sources


class Hung(Engine):
    """An engine that answers no more once it has loaded."""

    asked: int = 0

    async def forget(self, handle: str) -> None:
        """Never done."""
        self.asked += 1
        await asyncio.Event().wait()
        self.held.remove(handle)


async def test_an_engine_that_hangs_at_forgetting_holds_up_no_change_and_keeps_no_files(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine, sources, clock = Hung(), Sources(), Clock()
    shelf = Shelf(engine, sources, clock, forget_s=0.01)
    for name in ("a", "b"):
        shelf.withdraw(name, await shelf.load(name, f"pvc://models/{name}"))
    assert len(sources.here) == 2
    clock.now += UNUSED_S
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(shelf.sweep(), 5)
    assert (engine.asked, sources.here) == (2, set())
    assert [record.message for record in caplog.records] == [
        "the engine does not forget adapter a@1",
        "the engine does not forget adapter b@2",
    ]
    await shelf.sweep()
    assert engine.asked == 2
