"""Budget: what the keys that name it may spend together, in a window of UTC's calendar."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_api.base import ApiModel, rules
from llmservice_api.pricing import Cost
from llmservice_api.status import Conditioned

Tokens = Annotated[int, Field(ge=1, le=10**15)]


class BudgetSpec(ApiModel):
    """What may be spent, and in which time."""

    window: Literal["Day", "Month", "Once"] = Field(
        default="Month", description="When spending begins anew, by UTC's calendar; Once: never."
    )
    tokens: Tokens | None = Field(default=None, description="Most prompt and completion tokens of a window.")
    cost: Cost | None = Field(
        default=None,
        description='Most cost of a window in the installation\'s currency, as decimal text such as "250.00".',
        json_schema_extra=rules(
            ("self.matches('[1-9]')", "cost is 0, so nothing could be spent: raise it, or delete the keys")
        ),
    )
    cost_center: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
        max_length=63,
        description="Whom the costs are charged to, for reports.",
    )

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.tokens) || has(self.cost)", "a Budget bounds something: set tokens or cost"))
    )


class Used(ApiModel):
    """What was spent in the window."""

    tokens: int = Field(description="Prompt and completion tokens.")
    cost: str = Field(description="Cost in the installation's currency, as decimal text.")


class BudgetStatus(Conditioned):
    """What the ledger counted, at most a minute ago."""

    window_start: str | None = Field(default=None, description="When the window began, RFC 3339.")
    used: Used | None = Field(default=None, description="What was spent in the window.")
    percent: int | None = Field(default=None, description="Of what may be spent; of tokens or cost, the larger.")


class Budget(ApiModel):
    """What the APIKeys that name it may spend together."""

    spec: BudgetSpec = Field(description="What may be spent.")
    status: BudgetStatus | None = Field(default=None, description="What was spent.")
