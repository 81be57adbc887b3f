from llmservice_api.base import seconds
from llmservice_api.scaling import Scaling
from llmservice_worker import application
from llmservice_worker.autoscaling import MOST_HOLD_S
from tests.bench.autoscaling.ours import DOWN_DELAY_S, LOOK_BACK_S, Ours
from tests.unit.bench.autoscaling.fleets import PLAIN, fleet


def test_it_is_called_as_ray_serve_calls_it() -> None:
    assert seconds(Scaling().down_delay) == DOWN_DELAY_S
    assert LOOK_BACK_S == application.LOOK_BACK_S


def test_the_rule_that_is_shipped_sees_the_whole_fleet_and_orders_at_once() -> None:
    full = fleet(*[(0.0, 1, 90)] * 20, engine=PLAIN._replace(seats=8))
    full.advance(2)
    assert Ours(4).decide(full) == 5


def test_fewer_are_ordered_once_they_were_not_needed_for_long() -> None:
    idle = fleet((0.0, 1, 1), replicas=3, seconds=1200)
    policy, ordered = Ours(4), []
    while idle.second < 1200:
        idle.advance(2)
        ordered.append(policy.decide(idle))
    waited = int(MOST_HOLD_S / policy.period_s)
    assert ordered[: waited + 1] == [3] * waited + [1]
