"""From the API server's audit log to figures: who wrote what when, and how long each service waited. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.chaos.operator.audit import Write

Json = dict[str, Any]

CHILDREN: Final = ("rayservices", "services", "networkpolicies", "poddisruptionbudgets")


def waits(writes: Iterable[Write], user: str, children: int) -> dict[tuple[str, str], float]:
    """Seconds from each LLMService's arrival until `user` had made so many children; those with fewer are not in it."""
    arrived: dict[tuple[str, str], float] = {}
    made: dict[tuple[str, str], list[float]] = defaultdict(list)
    for write in writes:
        if write.plural == "llmservices" and write.is_creation:
            arrived[write.service] = write.begun
        elif write.user == user and write.plural in CHILDREN and write.is_creation:
            made[write.service].append(write.at)
    return {key: max(times) - arrived[key] for key, times in made.items() if len(times) >= children and key in arrived}


def rate(writes: Sequence[Write], user: str, count: int) -> float:
    """LLMServices a second, from the first one's arrival to the last child."""
    begun = min(write.begun for write in writes if write.plural == "llmservices" and write.is_creation)
    ended = max(write.at for write in writes if write.user == user and write.plural in CHILDREN and write.is_creation)
    return count / (ended - begun)


def traffic(writes: Sequence[Write]) -> float:
    """Writes a second of everybody, the loader, the stand-in and the cluster's controllers too."""
    return round(len(writes) / (max(write.at for write in writes) - min(write.begun for write in writes)), 1)


def quantile(values: Iterable[float], part: float) -> float:
    """The smallest value that at least this part of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def per_service(writes: Sequence[Write], count: int) -> dict[str, float]:
    """Of one user's writes, for each of so many LLMServices: children made, writes, and Events beside them."""
    events = sum(write.plural == "events" for write in writes)
    made = sum(write.plural in CHILDREN and write.is_creation for write in writes)
    return {
        "children_per_service": round(made / count, 3),
        "writes_per_service": round((len(writes) - events) / count, 3),
        "events_per_service": round(events / count, 3),
    }


def summary(found: Mapping[str, Mapping[int, Json]]) -> Json:
    """The figures that are compared from release to release, as far as they were measured: by operator and size."""
    ours, sizes = found["ours"], sorted(found["ours"])
    if not sizes:
        return {}
    first, last = sizes[0], sizes[-1]
    told: Json = {}
    for other, name in (("floor", "floor_ratio"), ("naive", "rate_over_naive"), ("go", "rate_over_go")):
        told |= {f"{name}_{size}": _ratio(ours[size], found[other].get(size, {}), "rate") for size in sizes}
    told["p99_over_go"] = _ratio(ours[first], found["go"].get(first, {}), "p99_ms_at_1")
    if {1000, 10000} <= set(sizes):
        told["rate_10000_over_1000"] = _ratio(ours[10000], ours[1000], "rate")
    told |= {name: ours[first].get(name) for name in ("p50_ms_at_1", "p99_ms_at_1", "idle_writes")}
    told |= {name: ours[last].get(name) for name in ("children_per_service", "writes_per_service", "restart_writes")}
    told |= {f"{name}_{last}": ours[last].get(name) for name in ("rss_mb", "restart_s")}
    return {name: value for name, value in told.items() if value is not None}


def _ratio(of: Json, to: Json, name: str) -> float | None:
    return round(of[name] / to[name], 3) if name in of and name in to else None
