"""What status holds in every kind: conditions, with the generation that they speak of."""

from typing import Literal

from pydantic import Field

from llmservice_api.base import ApiModel


class Condition(ApiModel):
    """One observed aspect, in the form of metav1.Condition."""

    type: str = Field(description="What the condition speaks of, in CamelCase.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="One CamelCase word for why.", min_length=1, max_length=1024)
    message: str = Field(default="", description="For people: what is so, and what to do.", max_length=32768)
    observed_generation: int = Field(description="metadata.generation that this speaks of.")
    last_transition_time: str = Field(description="When `status` last changed, RFC 3339.")


class Conditioned(ApiModel):
    """A status with conditions."""

    observed_generation: int | None = Field(default=None, description="metadata.generation last acted upon.")
    conditions: list[Condition] = Field(
        default=[],
        description="One entry a type.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
