"""What bench-gateway says of floods: rounds -> ratios of each round, then the median, then the worst flood."""

from tests.bench.gateway_flood import VICTIM, Round, figures
from tests.unit.bench.test_gateway_figures import run


def a_round(alone: float, flooded: float, errors: int = 0) -> Round:
    return Round(run(p99_us=alone), run(p99_us=flooded, errors=errors), run(all=3500, errors=3000))


def test_ratios_are_of_each_round_and_the_worst_flood_counts() -> None:
    found = figures(
        {
            "one": [a_round(100, 110), a_round(200, 210), a_round(100, 300)],
            "other": [a_round(100, 120), a_round(1000, 1300, errors=2), a_round(100, 100)],
        }
    )
    assert (found["flood_p99_ratio"], found["flood_errors"]) == (1.2, 2)
    assert [each["p99_ratio"] for each in found["floods"].values()] == [1.1, 1.2]
    one = found["floods"]["one"]
    assert (one["alone_p99_us"], one["p99_us"], one["flood_refused"]) == (100, 210, 9000)
    assert one["flood_per_s"] == round(3500 / (VICTIM.seconds + VICTIM.warm))
