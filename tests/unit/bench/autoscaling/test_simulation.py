import numpy as np
import pytest

from tests.bench.autoscaling.fleet import Fleet, Workload
from tests.bench.autoscaling.known.fixed import Static
from tests.bench.autoscaling.simulation import at_first, outcome, simulate
from tests.unit.bench.autoscaling.fleets import PLAIN

QUICK = PLAIN._replace(step_s=0.03125)


def day(*requests: tuple[float, int, int], seconds: int = 20) -> Workload:
    arrival, prompt, output = zip(*requests, strict=True)
    return Workload("day", np.array(arrival, float), np.array(prompt), np.array(output), seconds)


def test_a_request_is_in_time_by_its_first_token_and_by_each_further_one() -> None:
    # Four seats: the fifth waits 1.25 s, the ninth 2.5 s, of 40 steps each.
    found = simulate(QUICK._replace(ongoing=16), day(*[(0.0, 1, 40)] * 9), 5, Static(1))
    assert (found.requests, found.violations) == (9, 1)
    assert found.attainment == pytest.approx(8 / 9)
    slow = simulate(QUICK._replace(step_s=0.0625), day((0.0, 1, 40)), 5, Static(1))
    assert slow.violations == 1


def test_what_an_idle_replica_could_not_answer_in_time_is_left_out() -> None:
    reading = QUICK._replace(prompt_s=0.01)
    assert simulate(reading, day((0.0, 201, 1), (10.0, 100, 1)), 5, Static(1)).requests == 1


def test_what_was_never_answered_is_a_violation() -> None:
    fleet = Fleet(QUICK, day((0.0, 1, 1), (19.0, 1, 1)), 5, 1)
    fleet.advance(10)
    assert outcome(QUICK, fleet.workload, fleet).violations == 1


def test_cost_is_what_held_a_machine() -> None:
    found = simulate(QUICK, day((0.0, 1, 1), seconds=720), 5, Static(2))
    assert found.gpu_hours == pytest.approx(0.4)
    assert found.changes_per_day == 0


def test_the_order_is_held_within_bounds() -> None:
    found = simulate(QUICK, day((0.0, 1, 1), seconds=720), 5, Static(0))
    assert found.gpu_hours == pytest.approx(0.2)


def test_it_begins_with_what_the_first_minute_needs() -> None:
    assert at_first(PLAIN._replace(prompt_s=0.01), day((0.0, 3000, 1), (1.0, 3000, 1), (70.0, 9000, 1))) == 3
