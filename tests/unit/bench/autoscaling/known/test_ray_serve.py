import pytest

from tests.bench.autoscaling.known.ray_serve import RayServe
from tests.unit.bench.autoscaling.fleets import fleet


@pytest.mark.parametrize(
    ("total", "up", "present", "wanted"),
    [(10, 2, 2, 5), (4, 2, 2, 2), (3, 2, 2, 2), (5, 2, 2, 3), (2, 2, 2, 1), (0, 2, 2, 1), (0, 1, 1, 0)],
)
def test_what_it_applies_without_delays(total: float, up: int, present: int, wanted: int) -> None:
    assert RayServe(2, 0, 0).of(total, up, present, 0) == wanted


def test_up_after_30_s_and_down_after_600_s_of_the_same_side() -> None:
    policy = RayServe(2)
    assert [policy.of(8, 2, 2, now) for now in (0, 29, 30)] == [2, 2, 4]
    assert [policy.of(2, 4, 4, now) for now in (40, 639, 640)] == [4, 4, 1]


def test_a_tick_equal_to_the_present_starts_the_delay_anew() -> None:
    policy = RayServe(2)
    assert [policy.of(total, 2, 2, now) for now, total in ((0, 8), (20, 4), (29, 8), (58, 8), (59, 8))] == [
        2,
        2,
        2,
        2,
        4,
    ]


def test_from_zero_one_whatever_the_backlog() -> None:
    policy = RayServe(2)
    assert policy.of(500, 0, 0, 0) == 1
    assert policy.of(500, 0, 1, 1) == 1
    assert policy.of(0, 0, 0, 2) == 0


def test_it_sees_a_mean_that_is_pushed_every_10_s() -> None:
    seen = fleet(*[(0.0, 1, 200)] * 4)
    policy = RayServe(1, 0)
    seen.advance(9)
    assert policy.decide(seen) == 1
    seen.advance(1)
    assert policy.decide(seen) == 4
