import numpy as np
import pytest

from tests.bench.autoscaling.known.fixed import Oracle, Static, work_s
from tests.unit.bench.autoscaling.fleets import PLAIN, fleet


def test_static() -> None:
    assert Static(7).decide(fleet((0.0, 1, 1))) == 7


def test_work_is_what_a_request_adds_to_the_steps_that_it_is_in() -> None:
    engine = PLAIN._replace(sequence_s=0.01, context_s=1e-4, prompt_s=1e-3, attention_s=1e-6)
    found = work_s(engine, np.array([100]), np.array([20]))
    assert found.tolist() == pytest.approx([0.1 + 1e-6 * 5000 + 20 * (0.01 + 1e-4 * 110)])


def test_the_oracle_orders_a_cold_start_ahead_and_keeps_what_is_needed_again_before_one_could_come_up() -> None:
    oracle = Oracle(np.array([1, 1, 1, 4, 1, 3, 1, 1, 1, 1]), window_s=10, cold_start_s=15)
    seen = fleet((0.0, 1, 1), replicas=1)
    found = []
    for second in range(0, 90, 10):
        seen.second = second
        found.append(oracle.decide(seen))
    assert found == [1, 1, 4, 4, 3, 3, 1, 1, 1]
