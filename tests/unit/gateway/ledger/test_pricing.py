"""Costs are exact: whole units of 1e-10 of the currency."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_api.pricing import per_token
from llmservice_gateway.ledger.pricing import FREE, Price, cost, decimal


@pytest.mark.parametrize(
    ("price", "tokens", "amount"),
    [
        pytest.param(Price(per_token("1"), per_token("0.5"), per_token("2")), (100, 40, 10), "0.0001", id="all three"),
        pytest.param(Price(per_token("0.0001"), 0, 0), (1, 0, 0), "0.0000000001", id="the least there is"),
        pytest.param(Price(per_token("999999.9999"), 0, 0), (10**8, 0, 0), "99999999.9900000000", id="the most"),
        pytest.param(Price(per_token("3"), per_token("3"), 0), (1_000_000, 1_000_000, 0), "3", id="all cached"),
        pytest.param(FREE, (100, 40, 10), "0", id="free"),
    ],
)
def test_a_cost_is_exact(price: Price, tokens: tuple[int, int, int], amount: str) -> None:
    assert decimal(cost(price, *tokens).total) == Decimal(amount)


@given(
    prices=st.tuples(*[st.decimals(0, 999999, places=4)] * 3),
    tokens=st.tuples(st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**8)).filter(
        lambda t: t[1] <= t[0]
    ),
)
def test_it_is_what_decimals_say(prices: tuple[Decimal, ...], tokens: tuple[int, int, int]) -> None:
    prompt, cached, completion = tokens
    found = cost(Price(*(per_token(format(each, "f")) for each in prices)), *tokens)
    parts = zip(prices, (prompt - cached, cached, completion), strict=True)
    assert decimal(found.total) == sum(price * count for price, count in parts) / 10**6
    assert found.total < 2**63
