"""What tokens cost: decimal text in the installation's currency, reckoned in whole units of 1e-10 of it."""

from typing import Annotated, Final

from pydantic import Field

from llmservice_api.base import ApiModel

UNITS: Final = 10**10
"""Units in one of the currency; a cost is a whole number of them."""
_DIGITS: Final = 4

# At most so many digits that every sum fits 64 bits.
Price = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,4})?$", max_length=11, examples=["0.15", "12"])]
Cost = Annotated[str, Field(pattern=r"^[0-9]{1,8}(\.[0-9]{1,4})?$", max_length=13, examples=["250", "99.5"])]


class Pricing(ApiModel):
    """Prices of a million tokens, as decimal text such as "0.15"."""

    prompt_per_million: Price = Field(description="Of prompt tokens that were computed.")
    cached_per_million: Price | None = Field(
        default=None, description="Of prompt tokens that the engine's prefix cache held; default: promptPerMillion."
    )
    completion_per_million: Price = Field(description="Of tokens of the answer.")

    @property
    def complete(self) -> "Pricing":
        """The same with every price said."""
        cached = self.cached_per_million or self.prompt_per_million
        return self.model_copy(update={"cached_per_million": cached})


def per_token(price: str) -> int:
    """Units that one token costs, of a price of a million: `"0.15"` is 1500."""
    return _scaled(price)


def cost_units(cost: str) -> int:
    """Units of a cost in the currency: `"99.5"` is 995,000,000,000."""
    return _scaled(cost) * (UNITS // 10**_DIGITS)


def cost_text(units: int) -> str:
    """Units as decimal text with 4 digits after the point, rounded down."""
    whole, rest = divmod(units * 10**_DIGITS // UNITS, 10**_DIGITS)
    return f"{whole}.{rest:0{_DIGITS}}"


def _scaled(text: str) -> int:
    """Decimal text times 10^4, exactly."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**_DIGITS + int(fraction.ljust(_DIGITS, "0"))
