"""What HAProxy's maps should hold, as a function of the objects that exist.

keys    <key id>                     <digest>|<expiry ms>|<namespace, or * for the probe>|<* or - >
allow   <key id>|<namespace>/<name>  1          only for keys that name models (fourth field `-`)
models  <namespace>/<model name>     <namespace>/<name>
hosts   <host name>                  <namespace>/<name>
routes  <namespace>/<name>           <ip or ->|<port or 0>|<Keys or Open>
state   synced                       1          absent until the first synchronisation was applied
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from llmservice_api.names import PROBE_KEY_ID
from llmservice_gateway.objects import NEVER, Key, Service

Maps = dict[str, dict[str, str]]

NAMES: Final = ("keys", "allow", "routes", "models", "hosts", "state")
ALL: Final = "*"
LISTED: Final = "-"


def desired_maps(services: Iterable[Service], keys: Iterable[Key], probe_digest: str) -> Maps:
    """The contents of every map. Where two objects claim one name, host or id, the older one has it."""
    by_age = sorted(services, key=lambda each: (each.created, each.route))
    issued = sorted(keys, key=lambda each: (each.created, each.namespace, each.name))
    maps: Maps = {name: {} for name in NAMES}
    maps["state"]["synced"] = "1"
    maps["keys"][PROBE_KEY_ID] = f"{probe_digest}|{NEVER}|{ALL}|{ALL}"
    by_namespace: dict[str, list[Service]] = {}
    for service in by_age:
        by_namespace.setdefault(service.namespace, []).append(service)
        _add_service(maps, service)
    for key in issued:
        if key.id not in maps["keys"]:
            _add_key(maps, key, by_namespace.get(key.namespace, []))
    return maps


def opens(key: Key, service: Service) -> bool:
    """Whether the key opens the service: one of the service's names fits one of the key's patterns."""
    if key.namespace != service.namespace:
        return False
    return any(_matches(pattern, model) for pattern in key.models for model in service.models)


def _matches(pattern: str, model: str) -> bool:
    return pattern == ALL or fnmatchcase(model, pattern.replace("[", "[[]"))


def _add_service(maps: Maps, service: Service) -> None:
    mode = "Open" if service.open else "Keys"
    place = f"{service.address.ip}|{service.address.port}" if service.address else "-|0"
    maps["routes"][service.route] = f"{place}|{mode}"
    for model in service.models:
        maps["models"].setdefault(f"{service.namespace}/{model}", service.route)
    if service.host:
        maps["hosts"].setdefault(service.host, service.route)


def _add_key(maps: Maps, key: Key, services: Sequence[Service]) -> None:
    reach = ALL if ALL in key.models else LISTED
    maps["keys"][key.id] = f"{key.digest}|{key.expires}|{key.namespace}|{reach}"
    if reach == LISTED:
        for service in services:
            if opens(key, service):
                maps["allow"][f"{key.id}|{service.route}"] = "1"
