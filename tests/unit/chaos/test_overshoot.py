"""Overshoot: requests by their clients' clocks, and tokens -> what was in flight."""

import pytest

from tests.chaos.overshoot import Asked, figures

REFUSED = [Asked(0, 8.0, 8.1, None), Asked(1, 8.2, 8.3, None), Asked(0, 9.0, 9.1, None)]


def answered(*spans: tuple[float, float]) -> list[Asked]:
    """So many at the first gateway, named by their place."""
    return [Asked(0, began, ended, str(place)) for place, (began, ended) in enumerate(spans)]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (answered((0, 1), (1, 2)), {"overshoot_tokens": 0, "in_flight": 1, "late": 0, "let_in": 0, "news_s": 0.0}),
        (answered((0, 1), (1, 2), (1, 3)), {"overshoot_tokens": 10, "in_flight": 2, "in_flight_tokens": 20, "late": 0}),
        (answered((0, 2), (0, 1), (2.5, 3)), {"in_flight": 1, "late": 1, "late_tokens": 10, "news_s": 0.5}),
        (answered((0, 1), (1, 2), (8.0, 9)), {"late": 1, "let_in": 0}),
        (answered((0, 1), (1, 2), (8.15, 9)), {"late": 1, "let_in": 1}),
    ],
    ids=["to the token", "one more under way", "one that came late", "asked before the refusal", "asked after it"],
)
def test_what_was_used_beyond_a_budget_of_two_answers(asked: list[Asked], wanted: dict[str, float]) -> None:
    found = figures(20, asked + REFUSED, {str(each.id): 10 for each in asked})
    assert found["billed_tokens"] == 10 * len(asked)
    assert {name: found[name] for name in wanted} == wanted
