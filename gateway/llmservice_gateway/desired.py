"""What HAProxy's maps should hold, as a function of the objects that exist.

keys    <key id>                     <digest>|<expiry ms>|<namespace, or * for the probe>|<*, - or admin>
allow   <key id>|<namespace>/<name>  1          only for keys that name models (fourth field `-`)
        <key id>||<namespace>/<adapter>  1      the same for one adapter by its name; <model>:* is each dynamic one
models  <namespace>/<model name>     <namespace>/<name>      names, aliases and adapters
dynamic <namespace>/<model name>     <namespace>/<name>      where <model name>:<anything> is an adapter
hosts   <host name>                  <namespace>/<name>
routes  <namespace>/<name>           <ip or ->|<port or 0>|<Keys or Open>, |Cold where requests are held until it is up
limits  <key id>                     <requests>|<tokens>|<parallel>|<key id that counts are kept by>; 0: none
state   synced                       1          absent until the first synchronisation was applied

What the ledger says is kept by llmservice_gateway.limiter:
blocks  <key id>                     <until, ms>|<budget>
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from llmservice_api.names import PROBE_KEY_ID
from llmservice_gateway.objects import NEVER, NO_LIMITS, Key, Service

Maps = dict[str, dict[str, str]]

NAMES: Final = ("limits", "keys", "allow", "routes", "models", "dynamic", "hosts", "state")
TOLD: Final = ("blocks",)
ALL: Final = "*"
LISTED: Final = "-"
ADMIN: Final = "admin"
OPEN: Final = "Open"
COLD: Final = "Cold"
ANY_ADAPTER: Final = ":*"
"""After a model's name: each adapter that is loaded at its first use."""


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
        _add_key(maps, key, by_namespace.get(key.namespace, []))
    return maps


def opens(key: Key, service: Service) -> bool:
    """Whether the key opens the service, adapters included: a name of its model fits one of the key's patterns."""
    return key.namespace == service.namespace and any(_fits(key, model) for model in service.models)


def opened_adapters(key: Key, service: Service) -> list[str]:
    """Adapters that the key opens by their own names, `<model>:*` for all that are loaded at their first use."""
    if key.namespace != service.namespace:
        return []
    named = [name for name in service.adapters if _fits(key, name)]
    return [*named, *(name for model in _dynamic(service) for name in _dynamic_names(key, model))]


def _dynamic(service: Service) -> tuple[str, ...]:
    return service.models if service.dynamic else ()


def _dynamic_names(key: Key, model: str) -> list[str]:
    """Of the key's patterns those of `<model>:…`: single names, or the star for all of them; no map can hold more."""
    found = [pattern for pattern in key.models if pattern.startswith(f"{model}:")]
    return [each for each in found if each == model + ANY_ADAPTER or not set(each) & set("*?[")]


def _fits(key: Key, name: str) -> bool:
    return any(_matches(pattern, name) for pattern in key.models)


def _matches(pattern: str, model: str) -> bool:
    return pattern == ALL or fnmatchcase(model, pattern.replace("[", "[[]"))


def _add_service(maps: Maps, service: Service) -> None:
    mode = OPEN if service.open else "Keys"
    held = f"|{COLD}" if service.is_waited_for else ""
    place = f"{service.address.ip}|{service.address.port}" if service.address else "-|0"
    maps["routes"][service.route] = f"{place}|{mode}{held}"
    for model in (*service.models, *service.adapters):
        maps["models"].setdefault(f"{service.namespace}/{model}", service.route)
    for model in _dynamic(service):
        if maps["models"][f"{service.namespace}/{model}"] == service.route:
            maps["dynamic"][f"{service.namespace}/{model}"] = service.route
    if service.host:
        maps["hosts"].setdefault(service.host, service.route)


def _add_key(maps: Maps, key: Key, services: Sequence[Service]) -> None:
    reach = ADMIN if key.admin else ALL if ALL in key.models else LISTED
    limits = key.limits
    for proof in key.proofs:
        if proof.id in maps["keys"]:
            continue
        maps["keys"][proof.id] = f"{proof.digest}|{proof.expires}|{key.namespace}|{reach}"
        if limits != NO_LIMITS:
            maps["limits"][proof.id] = f"{limits.requests}|{limits.tokens}|{limits.parallel}|{key.id}"
        if reach == LISTED:
            _add_list(maps["allow"], key, proof.id, services)


def _add_list(allow: dict[str, str], key: Key, key_id: str, services: Sequence[Service]) -> None:
    for service in services:
        if opens(key, service):
            allow[f"{key_id}|{service.route}"] = "1"
        for name in opened_adapters(key, service):
            allow[f"{key_id}||{key.namespace}/{name}"] = "1"
