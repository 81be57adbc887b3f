from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.autoscaling import Aims, Memory, QueueDepth, decide

AIMS = Aims(target=4, up_delay_s=10, down_delay_s=60, idle_after_s=300)


def run(aims: Aims, seen: list[tuple[float, float]], current: int, least: int = 0, most: int = 10) -> list[int]:
    """The counts that follow from (time, outstanding) one after the other, each count in place at once."""
    memory, counts = Memory(), []
    for now, outstanding in seen:
        current, memory = decide(aims, memory, now, outstanding, current, least, most)
        counts.append(current)
    return counts


@pytest.mark.parametrize(
    ("outstanding", "current", "wanted"),
    [(0, 1, 1), (1, 1, 1), (4, 1, 1), (4.0000000001, 1, 1), (5, 1, 2), (8, 1, 2), (9, 1, 3), (1000, 1, 10)],
)
def test_what_is_wanted_without_delays(outstanding: float, current: int, wanted: int) -> None:
    aims = Aims(4, 0, 0, 300)
    assert decide(aims, Memory(), 0, outstanding, current, 0, 10)[0] == wanted


def test_up_after_the_delay_and_to_the_least_of_what_was_wanted() -> None:
    assert run(AIMS, [(0, 40), (5, 12), (9, 40), (10, 40)], current=1) == [1, 1, 1, 3]


def test_a_spike_shorter_than_the_delay_adds_nothing() -> None:
    assert run(AIMS, [(0, 40), (9, 40), (9.5, 4), (10, 40), (19, 40)], current=1) == [1] * 5


def test_down_after_the_delay_and_to_the_most_of_what_was_wanted() -> None:
    assert run(AIMS, [(0, 4), (30, 20), (59, 4), (60, 4)], current=8) == [8, 8, 8, 5]


def test_a_lull_shorter_than_the_delay_takes_nothing() -> None:
    assert run(AIMS, [(0, 4), (59, 4), (59.5, 32), (60, 4), (119, 4)], current=8) == [8] * 5


def test_the_last_replica_goes_only_after_idle_time_without_any_work() -> None:
    assert run(AIMS, [(0, 0), (299, 0), (300, 0)], current=1) == [1, 1, 0]
    assert run(AIMS, [(0, 0), (299, 1), (300, 0), (599, 0), (600, 0)], current=1) == [1, 1, 1, 1, 0]


def test_idle_time_counts_from_the_last_work_also_through_steps_down() -> None:
    assert run(AIMS, [(0, 0), (60, 0), (300, 0)], current=3) == [3, 1, 0]


def test_from_zero_without_delay() -> None:
    assert run(AIMS, [(0, 0), (1, 1)], current=0) == [0, 1]


def test_bounds_hold_at_once_from_below_and_after_the_delay_from_above() -> None:
    assert decide(Aims(4, 0, 0, 0), Memory(), 0, 0, 1, 2, 5)[0] == 2
    assert decide(Aims(4, 0, 0, 0), Memory(), 0, 100, 9, 2, 5)[0] == 5


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 200)), min_size=1, max_size=30),
    st.integers(0, 3),
    st.integers(3, 8),
    st.integers(0, 12),
)
def test_it_stays_in_bounds_and_never_steps_down_below_what_is_outstanding(
    steps: list[tuple[float, float]], least: int, most: int, current: int
) -> None:
    memory, now = Memory(), 0.0
    for passed, outstanding in steps:
        now += passed
        before = current
        current, memory = decide(AIMS, memory, now, outstanding, current, least, most)
        if current != before:
            assert least <= current <= most
        if current < before:
            assert current == most or current * AIMS.target >= outstanding - 1e-6


@dataclass
class Context:
    """What Ray Serve hands over."""

    current_time: float | None = 0.0
    target_num_replicas: int = 1
    capacity_adjusted_min_replicas: int = 0
    capacity_adjusted_max_replicas: int = 5
    total_num_requests: float = 20.0
    policy_state: dict[str, Any] = field(default_factory=dict)


def test_ray_serve_keeps_the_memory_from_call_to_call() -> None:
    policy = QueueDepth(target=4, up_delay_s=10, down_delay_s=60, idle_after_s=300)
    count, state = policy(Context())
    assert count == 1
    count, state = policy(Context(current_time=10.0, policy_state=state))
    assert count == 5


def test_state_that_ray_serve_adds_does_no_harm() -> None:
    state = {"memory": Memory(), "decision_counter": 3}
    assert QueueDepth(4, 0, 0, 0)(Context(policy_state=state))[0] == 5
