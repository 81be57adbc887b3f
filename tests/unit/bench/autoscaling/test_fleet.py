"""Scaling a fleet, and what it shows."""

import numpy as np
import pytest

from tests.bench.autoscaling.fleet import (
    ARRIVED,
    FINISHED,
    MACHINES,
    QUEUED,
    RUNNING,
    STARTING,
    UPS,
    WAITING,
    Workload,
)
from tests.unit.bench.autoscaling.fleets import PLAIN, fleet


def test_a_replica_is_up_once_its_cold_start_is_over_and_costs_from_its_order() -> None:
    cold = fleet((0.0, 1, 1), cold_start_s=2.5)
    cold.advance(1)
    cold.scale(2)
    cold.advance(5)
    assert cold.rows[1:7, UPS].tolist() == [1, 1, 1, 2, 2, 2]
    assert cold.rows[1:7, STARTING].tolist() == [0, 1, 1, 0, 0, 0]
    assert cold.rows[1:7, MACHINES].tolist() == [1, 2, 2, 2, 2, 2]


def test_from_zero_what_waited_at_the_router_is_answered() -> None:
    cold = fleet((0.2, 1, 1), (0.3, 1, 1), replicas=0, cold_start_s=2)
    cold.advance(1)
    assert cold.now(QUEUED) == 2
    cold.scale(1)
    cold.advance(9)
    assert cold.now(FINISHED) == 2
    assert 3.0 <= float(cold.requests.first[0]) <= 3.2


def test_who_starts_is_stopped_before_who_is_up_the_last_ordered_first() -> None:
    mixed = fleet((0.0, 1, 90), replicas=1)
    mixed.scale(2)
    mixed.advance(1)
    mixed.scale(3)
    assert mixed.places.ready[1:3].tolist() == [5.0, 6.0]
    mixed.scale(2)
    assert mixed.places.phase[:3].tolist() == [2, 1, 0]


def test_who_is_stopped_answers_what_it_has_takes_no_more_and_costs_until_then() -> None:
    busy = fleet((0.0, 1, 25), (2.0, 1, 5), replicas=2)
    busy.advance(1)
    last = int(np.argmax(busy.places.seated))
    busy.places.seated[1 - last] += 2  # as if the other had more to do
    busy.scale(1)
    busy.places.seated[1 - last] -= 2
    busy.advance(9)
    assert busy.requests.finish.tolist() == [3.125, 2.625]
    assert busy.rows[1:5, MACHINES].tolist() == [2, 2, 2, 1]


def test_changes_of_the_order_are_counted() -> None:
    counted = fleet((0.0, 1, 1))
    for count in (1, 2, 2, 3, 1):
        counted.scale(count)
    assert counted.changes == 3


def test_means_and_rates_are_of_the_last_seconds() -> None:
    seen = fleet((0.0, 1, 15), (0.5, 1, 1), (3.2, 1, 1))
    seen.advance(4)
    assert seen.rows[1:5, RUNNING].tolist() == [1, 0, 0, 0]
    assert seen.mean(RUNNING, 4) == 0.25
    assert seen.mean(RUNNING, 3) == 0.0
    assert seen.mean(RUNNING, 100) == 0.25
    assert seen.grown(ARRIVED, 2) == 0.5
    assert seen.grown(FINISHED, 4) == 0.75


def test_loads_of_replicas_that_are_up() -> None:
    seen = fleet(*[(0.0, 60, 40)] * 5, engine=PLAIN._replace(budget=400), cold_start_s=60)
    seen.scale(3)
    seen.advance(1)
    assert seen.loads() == [(0.4, 1)]
    assert seen.now(WAITING) == 1


@pytest.mark.parametrize(
    ("arrival", "prompt", "output", "why"),
    [
        ([], [], [], "no request"),
        ([1.0, 0.5], [1, 1], [1, 1], "not in order"),
        ([1.0], [0], [1], "no prompt"),
        ([1.0], [1], [4000], "2048 tokens or more"),
    ],
)
def test_a_workload_that_makes_no_sense(arrival: list[float], prompt: list[int], output: list[int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Workload("odd", np.array(arrival), np.array(prompt), np.array(output), 10)
