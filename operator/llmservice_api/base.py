"""What every model of the API shares: camelCase on the wire, unknown fields refused, values frozen."""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

INT32_MAX: Final = 2**31 - 1

# Up to about a year: more digits would be more than a date can hold.
_DURATION: Final = r"^([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?$"
_UNITS: Final = {"h": 3600, "m": 60, "s": 1}
_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
_FACTORS: Final = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip

DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Duration = Annotated[str, Field(pattern=_DURATION, min_length=2, max_length=16, examples=["90s", "5m", "1h30m"])]
Quantity = Annotated[str, Field(pattern=_QUANTITY, max_length=32, examples=["24Gi", "500m"])]
ObjectName = Annotated[str, Field(pattern=DNS_SUBDOMAIN, min_length=1, max_length=253)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", min_length=1, max_length=128)]


class ApiModel(BaseModel):
    """A part of an object of llmservice.io; fields are camelCase on the wire and snake_case here."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The object as Kubernetes stores it: camelCase, absent where None, JSON types only."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SecretReference(ApiModel):
    """A Secret in the namespace of the object that names it."""

    name: ObjectName = Field(description="Name of the Secret, in this object's namespace.")


def seconds(duration: str) -> int:
    """Whole seconds of a Duration, such as 5400 for `1h30m`."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", duration))


def amount(quantity: str) -> float:
    """The number that a Kubernetes quantity stands for: bytes for memory, cores for cpu."""
    number, suffix = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity, flags=re.ASCII).groups()  # type: ignore[union-attr]
    return float(number) * _FACTORS[suffix]


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules for a field or model, as (rule, message that names the fix)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}
