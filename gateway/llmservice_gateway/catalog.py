"""Which models a key may see, in the shapes of OpenAI's /v1/models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmservice_gateway.desired import opened_adapters, opens
from llmservice_gateway.objects import Key, Service


@dataclass(frozen=True)
class Catalog:
    """What is served, by `<namespace>/<name>`, and the keys by id: for the lists that maps cannot give."""

    services: Mapping[str, Service] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)

    def of_key(self, key_id: str) -> list[dict[str, Any]]:
        """The models that a key opens, those that answer now; empty for an unknown key."""
        key = self.keys.get(key_id)
        if key is None:
            return []
        found: dict[str, dict[str, Any]] = {}
        for service in sorted(self.services.values(), key=lambda each: (each.created, each.route)):
            if service.answers and service.namespace == key.namespace:
                visible = _names(service) if opens(key, service) else opened_adapters(key, service)
                for model in _models(service):
                    # A name belongs to the oldest service that bears it, also where the key does not open that one.
                    found.setdefault(model["id"], model if model["id"] in visible else {})
        return [model for model in found.values() if model]

    def of_route(self, route: str) -> list[dict[str, Any]]:
        """The models of one service; empty where it is unknown or nothing answers."""
        service = self.services.get(route)
        return _models(service) if service is not None and service.answers else []


def _names(service: Service) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*service.models, *service.adapters)))


def _models(service: Service) -> list[dict[str, Any]]:
    """One card for each name; `parent` says whose adapter it is."""
    card = {"object": "model", "created": service.created, "owned_by": service.namespace}
    parent = {"parent": next(iter(service.models), service.name)}
    return [{"id": name, **card, **({} if name in service.models else parent)} for name in _names(service)]
