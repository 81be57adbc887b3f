import numpy as np

from tests.bench.autoscaling.fleet import Workload
from tests.bench.autoscaling.hindsight import Hindsight, hindsight
from tests.unit.bench.autoscaling.fleets import PLAIN


def test_what_each_window_misses_with_each_count() -> None:
    # Four seats of 80 steps, 2.5 s: the ninth of each eight would miss with one replica, and eight come at once.
    arrival = np.array([1.0] * 8 + [301.0] * 2)
    waves = Workload("waves", arrival, np.full(10, 1), np.full(10, 80), 400)
    found = hindsight(PLAIN._replace(step_s=0.03125), waves, (1, 2, 3, 4, 5, 6))
    assert found.missed[0].tolist() == [4, 0]
    assert found.missed[-1].tolist() == [0, 0]
    assert len(found.counts) < 6


def test_a_plan_weighs_hours_against_what_would_be_missed() -> None:
    known = Hindsight(np.array([1, 2, 3]), np.array([[60, 0, 900], [6, 0, 300], [0, 0, 0]]))
    # A replica costs a twelfth of an hour per window.
    assert known.oracle(0.0001, 45).plan.tolist() == [1, 1, 1]
    assert known.oracle(0.0005, 45).plan.tolist() == [1, 1, 3]
    assert known.oracle(0.002, 45).plan.tolist() == [2, 1, 3]
    assert known.oracle(1.0, 45).plan.tolist() == [3, 1, 3]
