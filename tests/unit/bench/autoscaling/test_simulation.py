import numpy as np
import pytest

from tests.bench.autoscaling.fleet import Fleet, Workload
from tests.bench.autoscaling.known.fixed import Static
from tests.bench.autoscaling.simulation import at_first, is_counted, outcome, settled_s, simulate
from tests.unit.bench.autoscaling.fleets import PLAIN

QUICK = PLAIN._replace(step_s=0.03125)
BEGIN_S = 64.0
"""After what a run without a cold start needs to settle."""


def day(*requests: tuple[float, int, int], seconds: int = 90) -> Workload:
    """Arrivals from `BEGIN_S` on."""
    arrival, prompt, output = zip(*requests, strict=True)
    return Workload("day", BEGIN_S + np.array(arrival, float), np.array(prompt), np.array(output), seconds)


def test_a_request_is_in_time_by_its_first_token_and_by_each_further_one() -> None:
    # Four seats: the fifth waits 1.25 s, the ninth 2.5 s, of 40 steps each.
    found = simulate(QUICK._replace(ongoing=16), day(*[(0.0, 1, 40)] * 9), 0, Static(1))
    assert (found.requests, found.violations) == (9, 1)
    assert found.attainment == pytest.approx(8 / 9)
    slow = simulate(QUICK._replace(step_s=0.0625), day((0.0, 1, 40)), 0, Static(1))
    assert slow.violations == 1


def test_what_an_idle_replica_would_give_no_first_token_within_half_of_the_bound_is_left_out() -> None:
    reading = QUICK._replace(prompt_s=0.01)
    assert is_counted(Fleet(reading, day((0.0, 96, 1), (1.0, 97, 1)), 0, 1)).tolist() == [True, False]
    assert simulate(reading, day((0.0, 201, 1), (10.0, 90, 1)), 0, Static(1)).requests == 1


def test_what_was_never_answered_is_a_violation() -> None:
    fleet = Fleet(QUICK, day((0.0, 1, 1), (19.0, 1, 1)), 0, 1)
    fleet.advance(70)
    assert outcome(fleet, 60).violations == 1


def test_a_run_counts_from_when_what_was_ordered_first_is_up_and_has_caught_up() -> None:
    assert settled_s(45) == 150
    early = Workload("early", np.array([0.0, 80.0]), np.array([1, 1]), np.array([1, 1]), 90)
    found = simulate(QUICK, early, 0, Static(2))
    assert found.requests == 1
    assert found.gpu_hours == pytest.approx(2 * 30 / 3600)


def test_cost_is_what_held_a_machine() -> None:
    found = simulate(QUICK, day((0.0, 1, 1), seconds=780), 0, Static(2))
    assert found.gpu_hours == pytest.approx(0.4)
    assert found.changes_per_day == 0


def test_the_order_is_held_within_bounds() -> None:
    assert simulate(QUICK, day((0.0, 1, 1), seconds=420), 0, Static(0)).gpu_hours == pytest.approx(0.1)


def test_it_begins_with_what_the_first_minute_needs() -> None:
    arrivals = Workload("day", np.array([0.0, 1.0, 70.0]), np.array([3000, 3000, 9000]), np.array([1, 1, 1]), 90)
    assert at_first(PLAIN._replace(prompt_s=0.01), arrivals) == 3


def test_a_backlog_is_more_waiting_than_there_are_replicas_and_its_time_until_it_is_gone() -> None:
    # One replica with four seats answers four in 2.5 s (80 steps): of twelve eight wait, then four, then none.
    crowd = day(*[(0.5, 1, 80)] * 12, (20.5, 1, 1), seconds=120)
    found = simulate(QUICK._replace(ongoing=16), crowd, 0, Static(1))
    assert found.backlog_s == 5
    assert simulate(QUICK._replace(ongoing=16), crowd, 0, Static(3)).backlog_s == 0
