"""What services have of pools, added up as their statuses change: a reconcile must not add up ten thousand of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class _Share:
    pool: str
    accelerators: int
    is_settled: bool
    age: tuple[str, str]


@dataclass
class Shares:
    """Accelerators of each pool, by the LLMServices whose statuses say that they have them."""

    _all: dict[str, _Share] = field(default_factory=dict)
    _settled: Counter[str] = field(default_factory=Counter)
    _coming: dict[str, dict[str, _Share]] = field(default_factory=dict)

    def add(self, service: Json) -> None:
        """It has what its status says; nothing of it is counted yet."""
        share, uid = _share_of(service), service["metadata"]["uid"]
        if share is None:
            return
        self._all[uid] = share
        if share.is_settled:
            self._settled[share.pool] += share.accelerators
        else:
            self._coming.setdefault(share.pool, {})[uid] = share

    def discard(self, service: Json) -> None:
        """It has nothing any more."""
        uid = service["metadata"]["uid"]
        share = self._all.pop(uid, None)
        if share is None:
            return
        if share.is_settled:
            self._settled[share.pool] -= share.accelerators
        else:
            del self._coming[share.pool][uid]

    def beside(self, service: Json, pools: Iterable[str]) -> dict[str, int]:
        """Accelerators that others have of these pools, where they have any.

        Of two that come up at once each would see the other: only the older counts, so that one of them stays.
        """
        own, mine = self._all.get(service["metadata"]["uid"]), age(service)
        found = {}
        for pool in pools:
            settled = self._settled[pool] - (own.accelerators if own and own.pool == pool and own.is_settled else 0)
            coming = (share for share in self._coming.get(pool, {}).values() if share.age < mine)
            found[pool] = settled + sum(share.accelerators for share in coming)
        return {pool: count for pool, count in found.items() if count}


def age(service: Json) -> tuple[str, str]:
    """What orders services from the oldest on."""
    return service["metadata"].get("creationTimestamp", ""), service["metadata"]["name"]


def _share_of(service: Json) -> _Share | None:
    status = service.get("status") or {}
    placement = status.get("placement") or {}
    if "pool" not in placement:
        return None
    replicas = max(status.get("desiredReplicas", 0), status.get("replicas", 0))
    accelerators = placement.get("accelerators", 0) * replicas
    return _Share(placement["pool"], accelerators, "active" in (status.get("revision") or {}), age(service))
