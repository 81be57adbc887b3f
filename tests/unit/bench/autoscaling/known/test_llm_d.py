import pytest

from tests.bench.autoscaling.known.llm_d import Wva
from tests.unit.bench.autoscaling.fleets import fleet


@pytest.mark.parametrize(
    ("loads", "change"),
    [
        ([(0.80, 0)], 1),  # none is left unsaturated
        ([(0.5, 5)], 1),
        ([(0.75, 0), (0.75, 0)], 1),  # 0.05 of KV to spare
        ([(0.5, 3), (0.5, 2)], 1),  # 2.5 of queue to spare
        ([(0.5, 0), (0.5, 0)], 0),  # shared by one: 1.0
        ([(0.3, 0), (0.3, 0)], -1),  # shared by one: 0.6, 0.2 to spare
        ([(0.3, 2), (0.3, 1)], 0),  # shared by one: 3 wait, 2 to spare
        ([(0.9, 0), (0.3, 0)], 0),  # one alone is never taken
        ([(0.9, 0), (0.3, 0), (0.3, 0)], -1),
        ([(0.1, 0)], 0),
    ],
)
def test_one_more_one_less_or_neither(loads: list[tuple[float, int]], change: int) -> None:
    assert Wva().change(loads) == change


def test_all_thresholds_scale() -> None:
    assert Wva(0.5).change([(0.39, 0), (0.39, 0)]) == 1
    assert Wva(0.5).change([(0.1, 0), (0.1, 0)]) == -1


def test_it_is_frozen_while_a_change_is_under_way() -> None:
    seen = fleet(*[(0.0, 1, 200)] * 10)
    seen.advance(1)
    assert Wva().decide(seen) == 2
    seen.scale(2)
    seen.advance(1)
    assert Wva().decide(seen) == 2
