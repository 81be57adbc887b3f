"""The key queue: what waits, what runs, what comes again. Time is the loop's own, and moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from llmservice_operator.workqueue import KeyQueue


class Clock:
    """Stands in for the loop's timers: what is due is called when the test moves time on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._loop = loop
        self._timers: list[asyncio.TimerHandle] = []
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_later", self._call_later)

    def _call_later(self, delay: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + delay, callback, args, self._loop)
        self._timers.append(timer)
        return timer

    @property
    def delays(self) -> list[float]:
        """Seconds until each timer that stands."""
        return sorted(round(timer.when() - self.now, 3) for timer in self._timers if not timer.cancelled())

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        due = [timer for timer in self._timers if timer.when() <= self.now]
        self._timers = [timer for timer in self._timers if timer.when() > self.now]
        for timer in due:
            if not timer.cancelled():
                timer._run()  # what the loop would do


@dataclass
class Work:
    """A reconcile that the test lets begin and end."""

    outcomes: list[float | Exception | None] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    failures: list[tuple[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def reconcile(self, key: str) -> float | None:
        """Begin, wait for the gate, end as the test says."""
        assert key not in self.running, "two reconciles of one key at once"
        self.running.add(key)
        self.begun.append(key)
        try:
            await self.gate.wait()
        finally:
            self.running.discard(key)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def failed(self, key: str, error: Exception) -> None:
        """Keeps the failure."""
        self.failures.append((key, str(error)))


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def work() -> Work:
    return Work()


@asynccontextmanager
async def workers(work: Work, count: int = 3) -> AsyncIterator[KeyQueue[str]]:
    """A queue with workers."""
    queue = KeyQueue(work.reconcile, work.failed)
    tasks = [asyncio.create_task(queue.work()) for _ in range(count)]
    try:
        yield queue
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_keys_run_side_by_side_each_one_alone(work: Work) -> None:
    async with workers(work) as queue:
        for key in ("a", "b", "a", "b"):
            queue.add(key)
        await turn()
        assert work.running == {"a", "b"}
        assert work.begun == ["a", "b"]


async def test_ten_events_during_a_reconcile_become_one_more(work: Work) -> None:
    async with workers(work) as queue:
        queue.add("a")
        await turn()
        for _ in range(10):
            queue.add("a")
        await turn()
        assert work.begun == ["a"]
        work.gate.set()
        await turn()
        assert work.begun == ["a", "a"]


async def test_ten_events_before_a_worker_is_free_become_one(work: Work) -> None:
    async with workers(work, count=1) as queue:
        queue.add("busy")
        await turn()
        for _ in range(10):
            queue.add("a")
        assert len(queue) == 1
        work.gate.set()
        await turn()
        assert work.begun == ["busy", "a"]
        assert len(queue) == 0


async def test_what_was_asked_for_goes_first_and_each_fourth_turn_is_anothers(work: Work) -> None:
    async with workers(work, count=1) as queue:
        queue.add("busy")
        await turn()
        for number in range(3):
            queue.add(f"status-{number}")
        for number in range(5):
            queue.add(f"new-{number}", first=True)
        queue.add("status-2", first=True)
        queue.add("busy", first=True)
        assert len(queue) == 8
        work.gate.set()
        await turn()
        await turn()
        assert len(queue) == 0
        order = ["new-0", "new-1", "status-0", "new-2", "new-3", "new-4", "status-1", "status-2", "busy"]
        assert work.begun == ["busy", *order]


async def test_failures_back_off_and_a_success_forgets_them(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    work.outcomes = [ValueError("x")] * 12 + [None, ValueError("x")]
    work.gate.set()
    waited = []
    async with workers(work) as queue:
        queue.add("a")
        await turn()
        for _ in range(12):
            waited += clock.delays
            clock.advance(60)
            await turn()
        assert waited == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20, 20, 20]
        assert work.failures == [("a", "x")] * 12
        queue.add("a")
        await turn()
        assert clock.delays == [0.1]


async def test_a_key_that_fails_for_hours_is_still_tried(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    work.outcomes = [ValueError("x")] * 1100
    work.gate.set()
    async with workers(work, 1) as queue:
        queue.add("a")
        for _ in range(1100):
            await turn()
            clock.advance(60)
        await turn()
        assert (len(work.failures), work.begun) == (1100, ["a"] * 1101)


async def test_a_poisoned_key_harms_no_other(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(asyncio.get_running_loop(), monkeypatch)
    work.outcomes = [ValueError("poison"), None, None]
    work.gate.set()
    async with workers(work, count=1) as queue:
        for key in ("poisoned", "a", "b"):
            queue.add(key)
        await turn()
        assert work.begun == ["poisoned", "a", "b"]


@pytest.mark.parametrize("delays", [(5, 30), (30, 5), (5, 5)])
async def test_the_earliest_of_later_looks_wins(
    delays: tuple[float, float], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    async with workers(work) as queue:
        for delay in delays:
            queue.add_after("a", delay)
        assert clock.delays == [5]
        clock.advance(5)
        await turn()
        assert work.begun == ["a"]


async def test_an_event_takes_the_place_of_a_later_look(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    async with workers(work) as queue:
        queue.add_after("a", 5)
        queue.add("a")
        assert clock.delays == []
        queue.add_after("a", 5)
        assert clock.delays == []


async def test_what_reconcile_returns_is_when_it_looks_again(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(asyncio.get_running_loop(), monkeypatch)
    work.outcomes = [7.0]
    work.gate.set()
    async with workers(work) as queue:
        queue.add("a")
        await turn()
        assert clock.delays == [7]
        clock.advance(7)
        await turn()
        assert work.begun == ["a", "a"]
        assert clock.delays == []
