"""What an event costs, in whole units of 1e-10 of the installation's currency."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

DIGITS: Final = 10
"""Of a cost, after the point."""


@dataclass(frozen=True)
class Price:
    """Units that one token costs: a price per million with four digits after the point is a whole number of them."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


@dataclass(frozen=True)
class Cost:
    """Units of each part of an event."""

    prompt: int
    cached: int
    completion: int

    @property
    def total(self) -> int:
        """Units of all parts."""
        return self.prompt + self.cached + self.completion


FREE: Final = Price()


def cost(price: Price, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> Cost:
    """The cost of an event; `cached_tokens` are a part of `prompt_tokens`."""
    uncached = prompt_tokens - cached_tokens
    return Cost(price.prompt * uncached, price.cached * cached_tokens, price.completion * completion_tokens)


def decimal(units: int) -> Decimal:
    """Units as an exact amount of the currency."""
    return Decimal(units).scaleb(-DIGITS)
