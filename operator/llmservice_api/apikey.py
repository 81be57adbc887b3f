"""APIKey: opens models of its namespace; the operator makes the key, shows it once in a Secret, keeps a digest."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_api.base import INT32_MAX, ApiModel, Duration, ObjectName, rules
from llmservice_api.status import Conditioned

Positive = Annotated[int, Field(ge=1, le=INT32_MAX)]


class Limits(ApiModel):
    """Bounds of one key."""

    requests_per_minute: Positive | None = Field(default=None, description="Requests in each minute of the clock.")
    tokens_per_minute: Positive | None = Field(
        default=None, description="Prompt and completion tokens in each minute of the clock."
    )
    parallel: Positive | None = Field(default=None, description="Requests under way at once at each gateway.")


class BudgetReference(ApiModel):
    """A Budget in the key's namespace."""

    name: ObjectName = Field(description="Name of the Budget.")


class Rotation(ApiModel):
    """Another key in place of the one that was issued, without a moment in which neither works."""

    serial: Positive = Field(
        default=1, description="Another number than status.serial issues another key into the same Secret."
    )
    overlap: Duration = Field(
        default="24h", description="How long the key before stays valid; another rotation within it ends it at once."
    )


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
    role: Literal["Application", "Admin"] = Field(
        default="Application",
        description="Application: opens models; Admin: opens no model, but /v1/organization/ of its namespace, in the "
        "release's namespace of all.",
    )
    rotation: Rotation | None = Field(
        default=None, description="Which key of this APIKey is wanted; default: the first."
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.role) || self.role != 'Admin' || self.models == ['*']",
                "an Admin key opens no model: remove models, or make an APIKey of its own for them",
            ),
            (
                "!has(self.role) || self.role != 'Admin' || !(has(self.limits) || has(self.budgetRef))",
                "an Admin key opens no model, so it spends nothing: remove limits and budgetRef",
            ),
        )
    )


class PreviousKey(ApiModel):
    """The key before, while it is valid beside the newer one."""

    id: str = Field(description="Public part of the key.")
    digest: str = Field(description="HMAC-SHA256 of the key, lower-case hex.")
    valid_until: str | None = Field(
        default=None, description="Instant from which it is refused; absent while the newer key is being shown."
    )


class APIKeyStatus(Conditioned):
    """The key's public part and its digest; never the key."""

    id: str | None = Field(default=None, description="Public part of the key, safe to log.")
    digest: str | None = Field(default=None, description="HMAC-SHA256 of the key, lower-case hex.")
    secret_name: str | None = Field(default=None, description="Secret that holds the key, in this namespace.")
    serial: int | None = Field(
        default=None, description="spec.rotation.serial that the key in the Secret was made for."
    )
    previous: PreviousKey | None = Field(default=None, description="The key before, while it is valid too.")


class APIKey(ApiModel):
    """A key for applications."""

    spec: APIKeySpec = Field(default=APIKeySpec(), description="What the key opens.")
    status: APIKeyStatus | None = Field(default=None, description="What was issued.")
