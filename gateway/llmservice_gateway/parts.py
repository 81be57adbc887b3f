"""Kinds that are listed namespace by namespace, told as if they were listed whole."""

from collections.abc import Collection
from dataclasses import dataclass, field

from llmservice_gateway.source import Event, Gone, Kind, Listed, Raw, identity


@dataclass
class Parts:
    """What is known of each namespace: a list of one of them is a list of all only together with the others."""

    namespaces: Collection[str]
    _known: dict[Kind, dict[str, dict[str, Raw]]] = field(default_factory=dict)

    def whole(self, namespace: str, event: Event) -> Event | None:
        """What an event of a namespace tells of the kind; None while one of the namespaces was not listed."""
        known = self._known.setdefault(event.kind, {})
        if isinstance(event, Listed):
            known[namespace] = {identity(raw): raw for raw in event.objects}
        elif isinstance(event, Gone):
            known[namespace].pop(identity(event.object), None)
        else:
            known[namespace][identity(event.object)] = event.object
        if len(known) < len(self.namespaces):
            return None
        if isinstance(event, Listed):
            return Listed(event.kind, [raw for name in self.namespaces for raw in known[name].values()])
        return event
