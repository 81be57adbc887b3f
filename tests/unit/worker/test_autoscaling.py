from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.autoscaling import Memory, decide, queue_depth


def answers(outstanding: list[float], current: int, least: int = 0, most: int = 10) -> list[int]:
    """What is answered call by call while Ray Serve's delay runs and `current` stays."""
    memory, found = Memory(), []
    for amount in outstanding:
        count, memory = decide(memory, 4, amount, current, least, most)
        found.append(count)
    return found


@pytest.mark.parametrize(
    ("outstanding", "current", "wanted"),
    [(0, 1, 0), (1, 1, 1), (4, 1, 1), (4.0000000001, 1, 1), (5, 1, 2), (8, 1, 2), (9, 1, 3), (1000, 1, 10), (-1, 1, 0)],
)
def test_what_is_wanted_at_a_first_look(outstanding: float, current: int, wanted: int) -> None:
    assert answers([outstanding], current) == [wanted]


def test_up_to_the_least_of_what_was_wanted_meanwhile() -> None:
    assert answers([40, 12, 40], current=1) == [10, 3, 3]


def test_down_to_the_most_of_what_was_wanted_meanwhile() -> None:
    assert answers([4, 20, 4], current=8) == [1, 5, 5]


def test_a_break_starts_it_anew() -> None:
    assert answers([12, 4, 40], current=1) == [3, 1, 10]
    assert answers([20, 32, 4], current=8) == [5, 8, 1]


def test_the_other_side_starts_it_anew() -> None:
    assert answers([12, 0, 40], current=2) == [3, 0, 10]


def test_a_step_taken_starts_it_anew() -> None:
    _, memory = decide(Memory(), 4, 12, 1, 0, 10)
    assert decide(memory, 4, 40, 3, 0, 10)[0] == 10


def test_bounds() -> None:
    assert answers([0], current=1, least=2, most=5) == [2]
    assert answers([100], current=9, least=2, most=5) == [5]


@given(st.lists(st.floats(0, 200), min_size=1, max_size=30), st.integers(0, 3), st.integers(3, 8), st.integers(0, 12))
def test_it_stays_in_bounds_and_what_it_steps_down_to_could_carry_all_that_was_seen(
    seen: list[float], least: int, most: int, current: int
) -> None:
    found = answers(seen, current, least, most)
    assert all(least <= count <= most or count == current for count in found)
    if found[-1] < min(current, most):
        below = [amount for amount, count in zip(seen, found, strict=True) if count < current]
        assert found[-1] * 4 >= below[-1] - 1e-6


@dataclass
class Context:
    """What Ray Serve hands over."""

    config: Any = field(default_factory=lambda: SimpleNamespace(target_ongoing_requests=4))
    target_num_replicas: int = 1
    capacity_adjusted_min_replicas: int = 0
    capacity_adjusted_max_replicas: int = 5
    total_num_requests: float = 20.0
    policy_state: dict[str, Any] = field(default_factory=dict)


def test_ray_serve_keeps_the_memory_from_call_to_call() -> None:
    count, state = queue_depth(Context(total_num_requests=9))
    assert count == 3
    assert queue_depth(Context(policy_state=state))[0] == 3
    assert queue_depth(Context())[0] == 5


def test_state_that_ray_serve_adds_does_no_harm() -> None:
    assert queue_depth(Context(policy_state={"decision_counter": 3}))[0] == 5
