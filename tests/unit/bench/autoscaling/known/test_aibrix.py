import pytest

from tests.bench.autoscaling.known.aibrix import Apa, of_mean
from tests.unit.bench.autoscaling.fleets import fleet


@pytest.mark.parametrize(
    ("mean", "replicas", "wanted"),
    [(11, 4, 4), (11.5, 4, 5), (9, 4, 4), (8.9, 4, 4), (7, 4, 3), (30, 4, 8), (1, 5, 2), (0, 1, 0)],
)
def test_a_target_of_ten(mean: float, replicas: int, wanted: int) -> None:
    assert of_mean(mean, 10, replicas) == wanted


def test_up_at_once_and_down_to_the_most_of_300_s() -> None:
    idle = fleet((0.0, 1, 1), replicas=3)
    idle.advance(10)
    apa = Apa(10)
    apa._wanted.extend([3] + [1] * 28)
    assert apa.decide(idle) == 3
    assert apa.decide(idle) == 1
    busy = fleet(*[(0.0, 1, 200)] * 16, replicas=1)
    busy.advance(10)
    assert Apa(4).decide(busy) == 2
