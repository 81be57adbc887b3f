"""A Budget that keys share at two gateways is overspent by what is under way and what comes before the news."""

from pathlib import Path

from tests.chaos import overshoot


async def test_a_spent_budget_lets_nobody_in_once_a_gateway_has_heard_of_it(tmp_path: Path) -> None:
    found = await overshoot.run(tmp_path)
    assert found["let_in"] == 0
    assert found["overshoot_tokens"] >= 0
    # Each stream is followed by another until the news is there, which is sooner than a few streams end.
    assert found["late"] <= 3 * overshoot.AT_ONCE
