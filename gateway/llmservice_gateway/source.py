"""Where LLMServices and APIKeys come from, behind one narrow interface, and what of them is known."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from llmservice_gateway import objects
from llmservice_gateway.objects import Key, Service

Kind = Literal["llmservices", "apikeys", "budgets"]
KINDS: tuple[Kind, ...] = ("llmservices", "apikeys")
"""What the gateway routes by; the ledger watches budgets too."""
Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """All objects of a kind, as they are now."""

    kind: Kind
    objects: Sequence[Raw]


@dataclass(frozen=True)
class Put:
    """An object was added or changed."""

    kind: Kind
    object: Raw


@dataclass(frozen=True)
class Gone:
    """An object was deleted."""

    kind: Kind
    object: Raw


Event = Listed | Put | Gone


class ObjectSource(Protocol):
    """Delivers each kind as Listed first, then its changes; again Listed whenever a watch was lost. Never ends."""

    def events(self) -> AsyncIterator[Event]:
        """What happened, in order per kind."""


@dataclass
class Inventory:
    """What is known of the cluster; complete once every kind was listed."""

    services: dict[str, Service] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    listed: set[Kind] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether each kind was listed at least once."""
        return len(self.listed) == len(KINDS)

    def take(self, event: Event) -> None:
        """Brings the inventory up to the event."""
        if event.kind == "llmservices":
            self.services = _taken(self.services, event, objects.service)
        elif event.kind == "apikeys":
            self.keys = _taken(self.keys, event, objects.key)
        if isinstance(event, Listed):
            self.listed.add(event.kind)


_T = TypeVar("_T", Service, Key)


def _taken(known: dict[str, _T], event: Event, parse: Callable[[Raw], _T | None]) -> dict[str, _T]:
    if isinstance(event, Listed):
        parsed = ((identity(raw), parse(raw)) for raw in event.objects)
        return {name: item for name, item in parsed if item is not None}
    item = parse(event.object) if isinstance(event, Put) else None
    name = identity(event.object)
    if item is None:
        known.pop(name, None)
    else:
        known[name] = item
    return known


def identity(raw: Raw) -> str:
    """`<namespace>/<name>` of an object."""
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return f"{metadata.get('namespace')}/{metadata.get('name')}"
