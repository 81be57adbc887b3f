"""How fast the bodies of one key are read."""

import asyncio

import pytest

from llmservice_gateway.pace import Pace

RATE, BURST = 100, 50


class Clock:
    """Seconds as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("sizes", "waits"),
    [
        ([50], [0]),
        ([60], [0.1]),
        ([50, 100], [0, 1]),
        ([50, 100, 100], [0, 1, 2]),
    ],
)
def test_after_the_burst_an_owner_is_read_at_the_rate(sizes: list[int], waits: list[float]) -> None:
    pace = Pace(RATE, BURST, Clock())
    assert [pace.wait("a", size) for size in sizes] == pytest.approx(waits)


def test_one_owner_waits_for_no_other() -> None:
    pace = Pace(RATE, BURST, Clock())
    assert pace.wait("a", 1000) > 0
    assert pace.wait("b", 50) == 0


def test_time_pays_and_an_idle_owner_saves_no_more_than_the_burst() -> None:
    clock = Clock()
    pace = Pace(RATE, BURST, clock)
    pace.wait("a", 150)
    clock.now += 1.5
    assert pace.wait("a", 50) == 0
    clock.now += 3600
    assert pace.wait("a", 150) == pytest.approx(1)


def test_owners_that_have_paid_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(RATE, BURST, clock)
    for number in range(5000):
        pace.wait(str(number), 1)
        clock.now += 0.1
    assert len(pace._paid) <= 1024


async def test_it_is_kept_by_waiting() -> None:
    clock = Clock()
    pace = Pace(10_000, 100, clock)
    await pace.keep("a", 100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pace.keep("a", 10_000)
