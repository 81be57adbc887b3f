"""APIKey: opens models of its namespace; the operator makes the key, shows it once in a Secret, keeps a digest."""

from typing import Annotated

from pydantic import Field

from llmservice_api.base import INT32_MAX, ApiModel, ObjectName
from llmservice_api.status import Conditioned

Positive = Annotated[int, Field(ge=1, le=INT32_MAX)]


class Limits(ApiModel):
    """Bounds of one key."""

    requests_per_minute: Positive | None = Field(default=None, description="Requests in any minute.")
    tokens_per_minute: Positive | None = Field(default=None, description="Prompt and completion tokens in any minute.")
    parallel: Positive | None = Field(default=None, description="Requests under way at once.")


class BudgetReference(ApiModel):
    """A Budget in the key's namespace."""

    name: ObjectName = Field(description="Name of the Budget.")


class APIKeySpec(ApiModel):
    """What the key opens, until when, within which limits."""

    models: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9*?._:/-]+$", min_length=1, max_length=128)]] = Field(
        default=["*"],
        min_length=1,
        max_length=64,
        description="Names of models of this namespace that the key opens; * and ? are wildcards.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    expires_at: str | None = Field(
        default=None, json_schema_extra={"format": "date-time"}, description="Instant from which the key is refused."
    )
    limits: Limits | None = Field(default=None, description="Bounds of the key.")
    budget_ref: BudgetReference | None = Field(default=None, description="Budget that the key spends from.")


class APIKeyStatus(Conditioned):
    """The key's public part and its digest; never the key."""

    id: str | None = Field(default=None, description="Public part of the key, safe to log.")
    digest: str | None = Field(default=None, description="HMAC-SHA256 of the key, lower-case hex.")
    secret_name: str | None = Field(default=None, description="Secret that holds the key, in this namespace.")


class APIKey(ApiModel):
    """A key for applications."""

    spec: APIKeySpec = Field(default=APIKeySpec(), description="What the key opens.")
    status: APIKeyStatus | None = Field(default=None, description="What was issued.")
