"""What the ledger reads of an APIKey, a Budget and an LLMService; an object that is malformed counts as none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from llmservice_api.pricing import Cost as CostText
from llmservice_api.pricing import Pricing, cost_units, per_token
from llmservice_gateway.ledger.pricing import Price
from llmservice_gateway.ledger.windows import Window
from llmservice_gateway.source import Raw

ADMIN: Final = "Admin"


@dataclass(frozen=True)
class Key:
    """A key that was issued; instants are ms since 1970, `gone` is when its APIKey was found deleted."""

    id: str
    namespace: str
    name: str
    role: str
    budget: str | None
    created: int
    expires: int | None
    gone: int | None = None


@dataclass(frozen=True)
class Priced:
    """What an LLMService costs."""

    namespace: str
    service: str
    price: Price


@dataclass(frozen=True)
class Budget:
    """A Budget; `cost` in units, None where it is not bounded. `status` is what its status says now."""

    namespace: str
    name: str
    uid: str
    generation: int
    window: Window
    tokens: int | None
    cost: int | None
    cost_center: str | None = None
    status: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class _Metadata(_Part):
    namespace: str
    name: str
    uid: str = ""
    generation: int = 0
    creation_timestamp: AwareDatetime = datetime.fromisoformat("1970-01-01T00:00:00Z")


class _Reference(_Part):
    name: str


class _KeySpec(_Part):
    role: str = "Application"
    budget_ref: _Reference | None = None
    expires_at: AwareDatetime | None = None


class _Issued(_Part):
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _KeyStatus(_Issued):
    previous: _Issued | None = None


class _APIKey(_Part):
    metadata: _Metadata
    spec: _KeySpec = _KeySpec()
    status: _KeyStatus


class _BudgetSpec(_Part):
    window: Window = "Month"
    tokens: Annotated[int, Field(ge=0)] | None = None
    cost: CostText | None = None
    cost_center: Annotated[str, Field(max_length=63)] | None = None


class _Budget(_Part):
    metadata: _Metadata
    spec: _BudgetSpec
    status: dict[str, Any] = {}


class _ServiceStatus(_Part):
    pricing: Pricing | None = None


class _Service(_Part):
    metadata: _Metadata
    status: _ServiceStatus = _ServiceStatus()


def keys(raw: Raw) -> list[Key]:
    """The key of an APIKey, and the one before while its status names it; none before one was issued."""
    found = _read(_APIKey, raw)
    if found is None:
        return []
    metadata, spec = found.metadata, found.spec
    ids = [found.status.id, *([found.status.previous.id] if found.status.previous else [])]
    return [
        Key(
            id=each,
            namespace=metadata.namespace,
            name=metadata.name,
            role=spec.role,
            budget=spec.budget_ref.name if spec.budget_ref else None,
            created=_milliseconds(metadata.creation_timestamp),
            expires=_milliseconds(spec.expires_at) if spec.expires_at else None,
        )
        for each in ids
    ]


def budget(raw: Raw) -> Budget | None:
    """The Budget; None where it cannot be read."""
    found = _read(_Budget, raw)
    if found is None:
        return None
    metadata, spec = found.metadata, found.spec
    return Budget(
        metadata.namespace,
        metadata.name,
        metadata.uid,
        metadata.generation,
        spec.window,
        spec.tokens,
        cost_units(spec.cost) if spec.cost is not None else None,
        spec.cost_center,
        found.status,
    )


def priced(raw: Raw) -> Priced | None:
    """What the service costs, nothing where no price holds; None where it cannot be read."""
    found = _read(_Service, raw)
    if found is None:
        return None
    return Priced(found.metadata.namespace, found.metadata.name, _price(found.status.pricing))


def _price(pricing: Pricing | None) -> Price:
    if pricing is None:
        return Price()
    whole = pricing.complete
    return Price(
        per_token(whole.prompt_per_million),
        per_token(whole.cached_per_million or whole.prompt_per_million),
        per_token(whole.completion_per_million),
    )


_T = TypeVar("_T", bound=_Part)


def _read(kind: type[_T], raw: Raw) -> _T | None:
    try:
        return kind.model_validate(raw)
    except ValidationError:
        return None


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
