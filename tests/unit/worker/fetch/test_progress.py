"""Percent, rate and the seconds that are left."""

import pytest

from llmservice_worker.fetch.progress import Meter, eta_seconds, line, percent

MIB = 2**20


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("have", "total", "expected"),
    [(0, 100, 0), (1, 3, 33), (999, 1000, 99), (1000, 1000, 100), (5, 4, 100), (5, None, None), (5, 0, None)],
)
def test_percent(have: int, total: int | None, expected: int | None) -> None:
    assert percent(have, total) == expected


@pytest.mark.parametrize(
    ("have", "total", "rate", "expected"),
    [(0, 100, 10.0, 10), (100, 100, 10.0, 0), (0, 100, 0.0, None), (0, None, 10.0, None), (110, 100, 1.0, 0)],
)
def test_eta(have: int, total: int | None, rate: float, expected: int | None) -> None:
    assert eta_seconds(have, total, rate) == expected


def test_the_rate_is_of_the_last_minute() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin("Downloading", 10_000)
    for _ in range(100):  # slow, long ago
        clock.now += 1
        meter.add(1)
    for _ in range(60):
        clock.now += 1
        meter.add(10)
    assert meter.rate() == pytest.approx(10, rel=0.05)
    assert meter.snapshot() == {
        "phase": "Downloading",
        "percent": 7,
        "bytes": 700,
        "totalBytes": 10_000,
        "etaSeconds": pytest.approx(930, rel=0.05),
    }


def test_bytes_that_were_here_before_make_it_no_faster() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin("Downloading", 1000)
    meter.found(900)
    clock.now += 10
    meter.add(10)
    assert meter.rate() == 1.0
    assert meter.snapshot()["etaSeconds"] == 90


def test_bytes_that_are_given_up_are_to_come_again() -> None:
    meter = Meter(Clock())
    meter.begin("Downloading", 1000)
    meter.add(600)
    meter.found(-600)
    assert meter.snapshot()["percent"] == 0


def test_a_phase_without_a_total_says_no_numbers() -> None:
    meter = Meter(Clock())
    meter.begin("Waiting")
    assert meter.snapshot() == {"phase": "Waiting"}
    assert line(meter.snapshot(), 0, 12) == "[  12.0 s] Waiting"


def test_a_line_of_the_log() -> None:
    snapshot = {"phase": "Downloading", "percent": 50, "bytes": 5 * MIB, "totalBytes": 10 * MIB, "etaSeconds": 3}
    assert line(snapshot, 2 * MIB, 2.5) == "[   2.5 s] Downloading 50 %: 5 of 10 MiB, 2.0 MiB/s, 3 s left"
