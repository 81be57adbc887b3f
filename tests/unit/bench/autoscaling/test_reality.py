from itertools import pairwise

import numpy as np
import pytest

from tests.bench.autoscaling.reality import Curve, Fitted, arrivals, cold_start_s, compared, simulated


def curve(machines: list[float], up: list[float]) -> Curve:
    return Curve([2.0 * count for count in up], up, machines)


def test_a_burst_stands_between_two_calms() -> None:
    times = arrivals(0.5, 5.0, np.random.default_rng(0))
    assert all(one <= other for one, other in pairwise(times))
    in_burst = sum(90 <= at < 270 for at in times)
    assert in_burst == pytest.approx(900, rel=0.1)
    assert len(times) - in_burst == pytest.approx(595, rel=0.2)


def test_a_cold_start_lasts_from_the_second_machine_to_the_second_replica() -> None:
    assert cold_start_s(curve([1, 2, 2, 2, 2], [1, 1, 1, 2, 2])) == 2
    with pytest.raises(ValueError, match="no second replica came: 2 machines, 1 up at most"):
        cold_start_s(curve([1, 2, 2], [1, 1, 1]))


def test_what_the_two_are_apart() -> None:
    found = compared(curve([1, 2, 2, 1], [1, 1, 2, 1]), curve([1, 1, 2, 2], [1, 1, 1, 2]))
    assert (found["second_machine_at_s"], found["second_machine_for_s"]) == ([1, 2], [2, 2])
    assert (found["outstanding_most"], found["machine_hours_over_model"]) == ([4, 4], 1)


def test_the_model_follows_the_burst_with_one_more_replica_and_back() -> None:
    times = arrivals(0.13, 4.7, np.random.default_rng(0))
    found = simulated(Fitted(0.03, 0.002, 2.6), times, 45)
    assert set(found.machines) == {1.0, 2.0}
    assert found.machines[60] == found.machines[-1] == 1
    assert cold_start_s(found) == pytest.approx(45, abs=2)
    assert found.outstanding[-1] < 10
