"""Which service a model's name means to a key: what haproxy.cfg finds with its maps, found with the same maps.

For requests whose body HAProxy cannot read, and for those that were held. The rules stand in haproxy.cfg too, under the
same headings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from llmservice_gateway import errors
from llmservice_gateway.desired import ALL, LISTED, OPEN, Maps
from llmservice_gateway.errors import Refused

LONGEST_WAIT: Final = 86400
"""Most seconds that Retry-After says."""

_ADAPTER: Final = re.compile(r"(?s)(.*):[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Claim:
    """Who asks (a key's id, empty for nobody) for which service, and by which name of a model where one was read."""

    key_id: str
    route: str
    model: str | None


def route_of(maps: Maps, key_id: str, model: str) -> str | None:
    """`<namespace>/<name>` of the service that `model` means to the key; None: nothing that the key opens."""
    entry = _entry(maps, key_id)
    if len(entry) != 4:
        return None
    namespace, reach = entry[2], entry[3]
    by_name = f"{namespace}/{model}"
    adapter = _ADAPTER.fullmatch(by_name)
    adapted = adapter[1] if adapter else ""
    route = maps["dynamic"].get(adapted) or maps["models"].get(by_name)
    if route is None or route not in maps["routes"]:
        return None
    by_adapter = (f"{key_id}||{by_name}", f"{key_id}||{adapted}:*")
    is_listed = reach == LISTED and any(each in maps["allow"] for each in by_adapter)
    return route if is_listed or opens(maps, key_id, route) else None


def opens(maps: Maps, key_id: str, route: str) -> bool:
    """Whether the key opens the service, whatever its name; one that is open to all opens without a key, too."""
    target = maps["routes"].get(route, "").split("|")
    if len(target) < 3 or target[2] == OPEN:
        return len(target) >= 3
    entry = _entry(maps, key_id)
    if len(entry) != 4 or entry[2] not in (ALL, route.partition("/")[0]):
        return False
    return entry[3] == ALL or (entry[3] == LISTED and f"{key_id}|{route}" in maps["allow"])


def check(claim: Claim, maps: Maps, blocks: Mapping[str, str], now_ms: int) -> None:
    """Of a request that was held: raises Refused where HAProxy would let it through no longer."""
    if claim.key_id and not is_valid(maps, claim.key_id, now_ms):
        raise Refused(errors.INVALID_API_KEY)
    if not opens(maps, claim.key_id, claim.route) and (
        claim.model is None or route_of(maps, claim.key_id, claim.model) != claim.route
    ):
        raise Refused(errors.MODEL_NOT_FOUND if claim.key_id else errors.INVALID_API_KEY)
    until, _, budget = blocks.get(claim.key_id, "0|").partition("|")
    if now_ms < int(until):
        raise Refused(_spent(budget, int(until) - now_ms))


def is_valid(maps: Maps, key_id: str, now_ms: int) -> bool:
    """Whether the key is known and has not expired: one that waited may have been revoked meanwhile."""
    entry = _entry(maps, key_id)
    return len(entry) == 4 and now_ms < int(entry[1])


def _entry(maps: Maps, key_id: str) -> list[str]:
    return maps["keys"].get(key_id, "").split("|")


def _spent(budget: str, left_ms: int) -> errors.ApiError:
    said = errors.BUDGET_SPENT
    headers = dict(said.headers) | {"retry-after": str(min(left_ms // 1000 + 1, LONGEST_WAIT))}
    return replace(said, message=said.message.replace(errors.BUDGET, budget), headers=tuple(headers.items()))
