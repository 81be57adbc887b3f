import pytest

from tests.bench.autoscaling.known.knative import Kpa
from tests.unit.bench.autoscaling.fleets import fleet


@pytest.mark.parametrize(
    ("stable", "panic", "ready", "wanted"),
    [
        (41, 41, 4, 5),
        (30, 30, 4, 3),
        (5, 5, 8, 4),  # no lower than half
        (0, 0, 3, 1),
        (10, 70, 4, 2),  # 7 / 4 is under the threshold of 2: the stable window rules, at least floor(4 / 2)
        (10, 80, 4, 8),  # panic: the larger of both
    ],
)
def test_one_tick(stable: float, panic: float, ready: int, wanted: int) -> None:
    assert Kpa(10).of(stable, panic, ready, 0) == wanted


def test_in_panic_it_never_goes_down_until_60_s_after_the_last_crossing() -> None:
    kpa = Kpa(10)
    assert kpa.of(10, 90, 1, 100) == 9
    assert kpa.of(10, 30, 2, 130) == 9
    assert kpa.of(10, 45, 2, 150) == 9
    assert kpa.of(20, 20, 9, 208) == 9
    assert kpa.of(20, 20, 9, 210) == 4


def test_it_counts_all_requests_in_the_fleet() -> None:
    seen = fleet(*[(0.0, 1, 200)] * 14)
    seen.advance(2)
    assert Kpa(7).decide(seen) == 2
