from tests.bench.autoscaling.ours import DOWN_DELAY_S, Ours
from tests.unit.bench.autoscaling.fleets import PLAIN, fleet


def test_the_rule_that_is_shipped_sees_the_whole_fleet_and_orders_at_once() -> None:
    full = fleet(*[(0.0, 1, 90)] * 20, engine=PLAIN._replace(seats=8))
    full.advance(2)
    assert Ours(4).decide(full) == 5


def test_fewer_are_ordered_after_the_delay_only() -> None:
    idle = fleet((0.0, 1, 1), replicas=3, seconds=400)
    policy, ordered = Ours(4), []
    while idle.second < 400:
        idle.advance(2)
        ordered.append(policy.decide(idle))
    waited = int(DOWN_DELAY_S / policy.period_s)
    assert ordered[: waited + 1] == [3] * waited + [1]
