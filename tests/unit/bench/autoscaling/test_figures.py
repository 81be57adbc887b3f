import pytest

from tests.bench.autoscaling.figures import Point, at_aim, between, interval, violations_at
from tests.bench.autoscaling.simulation import Outcome


def point(violations: int, hours: float, changes: float = 0, backlog_s: int = 0, seeds: int = 1) -> Point:
    """A setting of which every run had so many violations in 10,000 requests."""
    return Point(hours, (Outcome(10_000, violations, hours, changes, backlog_s),) * seeds)


def test_a_point_sums_requests_and_takes_the_mean_of_hours() -> None:
    mixed = Point(1, (Outcome(1000, 10, 2, 4, 5), Outcome(3000, 10, 6, 8, 15)))
    assert mixed.violations() == 20 / 4000
    assert (mixed.hours(), mixed.changes(), mixed.backlog_s()) == (4, 6, 10)
    assert mixed.violations([0, 0]) == 0.01


def test_between_two_settings_violations_fall_by_the_same_factor_per_hour() -> None:
    assert between(0.04, 0.0025, 0.01) == pytest.approx(0.5)
    at = at_aim([point(400, 10, 100, 60), point(25, 20, 200, 20)])
    assert at is not None
    assert [at.hours, at.changes, at.backlog_s] == pytest.approx([15, 150, 40])


@pytest.mark.parametrize(
    ("points", "hours"),
    [
        ([point(50, 10), point(20, 20)], 10),  # the leanest suffices
        ([point(100, 10)], 10),
        ([point(400, 10), point(200, 20)], None),
        ([point(400, 10), point(50, 30), point(90, 20)], 20 - 10 * (1 - between(0.04, 0.009, 0.01))),
    ],
)
def test_hours_at_99_percent(points: list[Point], hours: float | None) -> None:
    at = at_aim(points)
    assert (at and at.hours) == (hours if hours is None else pytest.approx(hours))


@pytest.mark.parametrize(("hours", "violations"), [(5, 0.04), (10, 0.04), (15, 0.01), (20, 0.0025), (99, 0.0025)])
def test_violations_for_hours(hours: float, violations: float) -> None:
    assert violations_at([point(25, 20), point(400, 10)], hours) == pytest.approx(violations)


def test_an_interval_is_of_the_same_seeds_on_both_sides() -> None:
    ours = [Point(1, tuple(Outcome(1000, 5, 9.0 * day, 0, 0) for day in (1, 2, 3)))]
    theirs = [Point(1, tuple(Outcome(1000, 5, 10.0 * day, 0, 0) for day in (1, 2, 3)))]
    assert list(interval(ours, theirs) or ()) == pytest.approx([0.9, 0.9])
    assert interval(ours, [point(500, 10, seeds=3)]) is None
