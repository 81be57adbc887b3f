"""Which service a model's name means to a key: what haproxy.cfg finds with its maps, found with the same maps.

For requests whose body HAProxy cannot read. The rules stand in haproxy.cfg too, under the same headings.
"""

import re
from typing import Final

from llmservice_gateway.desired import ALL, LISTED, OPEN, Maps

_ADAPTER: Final = re.compile(r"(?s)(.*):[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def route_of(maps: Maps, key_id: str, model: str) -> str | None:
    """`<namespace>/<name>` of the service that `model` means to the key; None: nothing that the key opens."""
    entry = maps["keys"].get(key_id, "").split("|")
    if len(entry) != 4:
        return None
    namespace, reach = entry[2], entry[3]
    by_name = f"{namespace}/{model}"
    adapter = _ADAPTER.fullmatch(by_name)
    adapted = adapter[1] if adapter else ""
    route = maps["dynamic"].get(adapted) or maps["models"].get(by_name)
    if route is None or route not in maps["routes"]:
        return None
    if maps["routes"][route].split("|")[2] == OPEN:
        return route
    listed = (f"{key_id}|{route}", f"{key_id}||{by_name}", f"{key_id}||{adapted}:*")
    opens = reach == ALL or (reach == LISTED and any(each in maps["allow"] for each in listed))
    return route if opens else None


def is_valid(maps: Maps, key_id: str, now_ms: int) -> bool:
    """Whether the key is known and has not expired: one that waited may have been revoked meanwhile."""
    entry = maps["keys"].get(key_id, "").split("|")
    return len(entry) == 4 and now_ms < int(entry[1])
