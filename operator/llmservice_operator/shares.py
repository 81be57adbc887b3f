"""What revisions have of pools, added up as RayServices and RayClusters change: no reconcile adds up ten thousand."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmservice_api.names import ACCELERATORS_ANNOTATION, LABEL_REVISION, POOL_ANNOTATION

Json = dict[str, Any]

Owner = tuple[str, str]
"""Namespace and name of an LLMService."""


class Share(NamedTuple):
    """Of a revision: its pool, accelerators that each of its workers takes, and those that all of them take."""

    pool: str
    each: int
    accelerators: int


@dataclass(frozen=True)
class _Claim:
    """`is_settled`: of a revision that serves, or has served. `age` orders those that come up."""

    pool: str
    accelerators: int
    is_settled: bool
    age: tuple[str, ...]


_LAST = ("~",)
"""An age after all others."""


@dataclass
class Shares:
    """Accelerators of each pool, by the revisions whose RayServices say that they have them."""

    _claims: dict[Owner, list[_Claim]] = field(default_factory=dict)
    _settled: Counter[str] = field(default_factory=Counter)
    _coming: dict[str, dict[Owner, list[_Claim]]] = field(default_factory=dict)

    def note(self, owner: Owner, service: Json | None, ray_services: Iterable[Json], clusters: Sequence[Json]) -> None:
        """All that an LLMService has now, in place of what it had; None: it is gone, and so is what it had."""
        for before in self._claims.pop(owner, ()):
            self._settled[before.pool] -= before.accelerators if before.is_settled else 0
            self._coming.get(before.pool, {}).pop(owner, None)
        claims = [claim for obj in ray_services if (claim := _claim(service, obj, clusters))] if service else []
        if not claims:
            return
        self._claims[owner] = claims
        for claim in claims:
            if claim.is_settled:
                self._settled[claim.pool] += claim.accelerators
            else:
                self._coming.setdefault(claim.pool, {}).setdefault(owner, []).append(claim)

    def beside(self, owner: Owner, pools: Iterable[str]) -> dict[str, int]:
        """Accelerators that others have of these pools, where they have any.

        Of two revisions that come up at once each would see the other: only the one made first counts, and stays.
        """
        found = {}
        for pool in pools:
            own = [claim for claim in self._claims.get(owner, ()) if claim.pool == pool]
            settled = self._settled[pool] - sum(claim.accelerators for claim in own if claim.is_settled)
            mine = min((claim.age for claim in own if not claim.is_settled), default=_LAST)
            coming = (claim for claims in self._coming.get(pool, {}).values() for claim in claims if claim.age < mine)
            found[pool] = settled + sum(claim.accelerators for claim in coming)
        return {pool: count for pool, count in found.items() if count}


def share_of(ray_service: Json, clusters: Sequence[Json] = ()) -> Share | None:
    """What a revision has: what its workers ask for, and at least what its fewest replicas take.

    `clusters`: its RayClusters; without them those fewest alone count. None: it says of no pool.
    """
    annotations = ray_service["metadata"].get("annotations", {})
    if POOL_ANNOTATION not in annotations:
        return None
    each = _count(_worker_group(ray_service).get("rayStartParams", {}).get("num-gpus"))
    least = _count(annotations.get(ACCELERATORS_ANNOTATION))
    return Share(annotations[POOL_ANNOTATION], each, max(least, wanted_workers(clusters) * each))


def wanted_workers(clusters: Sequence[Json]) -> int:
    """Worker pods that Ray's autoscaler wants, as KubeRay repeats it of each RayCluster."""
    return sum((cluster.get("status") or {}).get("desiredWorkerReplicas", 0) for cluster in clusters)


def _claim(service: Json, ray_service: Json, clusters: Sequence[Json]) -> _Claim | None:
    metadata = ray_service["metadata"]
    if not any(owner.get("uid") == service["metadata"]["uid"] for owner in metadata.get("ownerReferences", [])):
        return None
    share = share_of(ray_service, [each for each in clusters if _is_of(each, metadata["name"])])
    if share is None or share.accelerators == 0:
        return None
    known: Mapping[str, Any] = (service.get("status") or {}).get("revision") or {}
    has_served = "drainingSince" in known and known.get("pending") != metadata["name"]
    is_settled = known.get("active") == metadata["name"] or has_served
    age = (metadata.get("creationTimestamp", ""), metadata["namespace"], metadata["name"])
    return _Claim(share.pool, share.accelerators, is_settled, age)


def _is_of(cluster: Json, revision: str) -> bool:
    return bool(cluster["metadata"].get("labels", {}).get(LABEL_REVISION) == revision)


def _worker_group(ray_service: Json) -> Json:
    groups = (ray_service.get("spec") or {}).get("rayClusterConfig", {}).get("workerGroupSpecs") or [{}]
    return dict(groups[0])


def _count(text: Any) -> int:
    """A count that anybody may have edited; 0 where it is none."""
    return int(text) if isinstance(text, str) and text.isdecimal() else 0
