"""Prices and costs: whole numbers of 1e-10 of the currency, and never a float."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmservice_api.budget import BudgetSpec
from llmservice_api.pricing import UNITS, Pricing, cost_text, cost_units, per_token


@pytest.mark.parametrize(
    ("price", "units"), [("0", 0), ("0.0001", 1), ("0.15", 1500), ("12", 120000), ("999999.9999", 9999999999)]
)
def test_a_token_costs_a_whole_number_of_units(price: str, units: int) -> None:
    assert per_token(price) == units
    assert per_token(price) * 10**6 == cost_units(price)


@pytest.mark.parametrize(
    ("units", "text"), [(0, "0.0000"), (1, "0.0000"), (UNITS, "1.0000"), (123456789, "0.0123"), (UNITS - 1, "0.9999")]
)
def test_costs_are_written_with_four_digits_rounded_down(units: int, text: str) -> None:
    assert cost_text(units) == text


@given(st.integers(0, 10**8 - 1), st.integers(0, 9999))
def test_what_is_written_is_read_again(whole: int, fraction: int) -> None:
    text = f"{whole}.{fraction:04}"
    assert cost_text(cost_units(text)) == text
    assert cost_units(BudgetSpec(cost=text).cost or "") < 2**63


@pytest.mark.parametrize("price", ["-1", "1e3", "0.12345", ".5", "1.", "1000000", "", " 1", "١", "NaN"])
def test_what_is_no_price_is_refused(price: str) -> None:
    with pytest.raises(ValidationError):
        Pricing(prompt_per_million=price, completion_per_million="1")


def test_cached_tokens_cost_as_others_unless_said() -> None:
    assert Pricing(prompt_per_million="2", completion_per_million="8").complete.cached_per_million == "2"
    said = Pricing(prompt_per_million="2", cached_per_million="0", completion_per_million="8")
    assert said.complete == said
