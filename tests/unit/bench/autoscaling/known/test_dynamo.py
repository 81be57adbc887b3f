import pytest

from tests.bench.autoscaling.known.dynamo import Planner
from tests.unit.bench.autoscaling.fleets import fleet


@pytest.mark.parametrize(
    ("shares", "up", "starting", "wanted"),
    [([1.2, 0.9], 2, 0, 3), ([0.8, 0.7], 2, 0, 2), ([0.5, 0.5], 2, 0, 1), ([1.5, 1.5], 2, 1, 3), ([], 0, 1, 1)],
)
def test_the_loop_on_load(shares: list[float], up: int, starting: int, wanted: int) -> None:
    assert Planner.by_load(shares, up, starting) == wanted


def test_a_forecast_every_180_s_is_a_floor() -> None:
    seen = fleet(*[(i / 4, 1, 1) for i in range(720)], replicas=2, seconds=185)
    planner = Planner(replica_rps=1.5)
    seen.advance(175)
    assert planner.decide(seen) == 1
    seen.advance(5)
    assert planner.decide(seen) == 3
    seen.advance(5)
    assert planner.decide(seen) == 3
