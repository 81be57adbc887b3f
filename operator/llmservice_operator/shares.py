"""What revisions have of pools, added up as RayServices and RayClusters change: no reconcile adds up ten thousand."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from llmservice_api.names import ACCELERATORS_ANNOTATION, LABEL_REVISION, POOL_ANNOTATION

Json = dict[str, Any]

Owner = tuple[str, str]
"""Namespace and name of an LLMService."""


class Share(NamedTuple):
    """Of a revision: its pool; accelerators of each worker, of its fewest replicas, and of all workers wanted now."""

    pool: str
    each: int
    fewest: int
    wanted: int


@dataclass(frozen=True)
class _Claim:
    """`is_settled`: of a revision that serves, or has served. `age` orders those that come up."""

    share: Share
    is_settled: bool
    age: tuple[str, ...]


class Taken(NamedTuple):
    """Accelerators that others have of a pool: for their fewest replicas, and with those that their load wants now."""

    fewest: int
    wanted: int


_DIGITS_MAX: Final = 6
_LAST: Final = ("~",)
"""An age after all others."""


@dataclass
class Shares:
    """Accelerators of each pool, by the revisions whose RayServices say that they have them."""

    _claims: dict[Owner, list[_Claim]] = field(default_factory=dict)
    _fewest: Counter[str] = field(default_factory=Counter)
    _wanted: Counter[str] = field(default_factory=Counter)
    _coming: dict[str, dict[Owner, list[_Claim]]] = field(default_factory=dict)

    def note(self, owner: Owner, service: Json | None, ray_services: Iterable[Json], clusters: Sequence[Json]) -> None:
        """All that an LLMService has now, in place of what it had; None: it is gone, and so is what it had."""
        for before in self._claims.pop(owner, ()):
            self._coming.get(before.share.pool, {}).pop(owner, None)
            self._count(before, -1)
        claims = [claim for obj in ray_services if (claim := _claim(service, obj, clusters))] if service else []
        if not claims:
            return
        self._claims[owner] = claims
        for claim in claims:
            self._count(claim, 1)
            if not claim.is_settled:
                self._coming.setdefault(claim.share.pool, {}).setdefault(owner, []).append(claim)

    def _count(self, claim: _Claim, sign: int) -> None:
        if claim.is_settled:
            self._fewest[claim.share.pool] += sign * claim.share.fewest
            self._wanted[claim.share.pool] += sign * claim.share.wanted

    def beside(self, owner: Owner, pools: Iterable[str]) -> dict[str, Taken]:
        """What others have of these pools, where they have any.

        Of two revisions that come up at once each would see the other: only the one made first counts, and stays.
        """
        found = {}
        for pool in pools:
            own = [claim for claim in self._claims.get(owner, ()) if claim.share.pool == pool]
            settled = [claim.share for claim in own if claim.is_settled]
            mine = min((claim.age for claim in own if not claim.is_settled), default=_LAST)
            all_coming = (claim for claims in self._coming.get(pool, {}).values() for claim in claims)
            coming = [claim.share for claim in all_coming if claim.age < mine]
            found[pool] = Taken(
                self._fewest[pool] - sum(share.fewest for share in settled) + sum(share.fewest for share in coming),
                self._wanted[pool] - sum(share.wanted for share in settled) + sum(share.wanted for share in coming),
            )
        return {pool: taken for pool, taken in found.items() if any(taken)}


def share_of(ray_service: Json, clusters: Sequence[Json] = ()) -> Share | None:
    """What a revision has. `clusters`: its RayClusters, which say how many workers are wanted, at least the fewest.

    None: it says of no pool.
    """
    annotations = ray_service["metadata"].get("annotations", {})
    if POOL_ANNOTATION not in annotations:
        return None
    each = _count((_worker_group(ray_service).get("rayStartParams") or {}).get("num-gpus"))
    fewest = _count(annotations.get(ACCELERATORS_ANNOTATION))
    return Share(annotations[POOL_ANNOTATION], each, fewest, max(fewest, wanted_workers(clusters) * each))


def wanted_workers(clusters: Sequence[Json]) -> int:
    """Worker pods that Ray's autoscaler wants, as KubeRay repeats it of each RayCluster."""
    return sum((cluster.get("status") or {}).get("desiredWorkerReplicas", 0) for cluster in clusters)


def _claim(service: Json, ray_service: Json, clusters: Sequence[Json]) -> _Claim | None:
    metadata = ray_service["metadata"]
    if not any(owner.get("uid") == service["metadata"]["uid"] for owner in metadata.get("ownerReferences", [])):
        return None
    share = share_of(ray_service, [each for each in clusters if _is_of(each, metadata["name"])])
    if share is None or share.wanted == 0:
        return None
    known: Mapping[str, Any] = (service.get("status") or {}).get("revision") or {}
    has_served = "drainingSince" in known and known.get("pending") != metadata["name"]
    is_settled = known.get("active") == metadata["name"] or has_served
    age = (metadata.get("creationTimestamp", ""), metadata["namespace"], metadata["name"])
    return _Claim(share, is_settled, age)


def _is_of(cluster: Json, revision: str) -> bool:
    return bool(cluster["metadata"].get("labels", {}).get(LABEL_REVISION) == revision)


def _worker_group(ray_service: Json) -> Json:
    groups = (ray_service.get("spec") or {}).get("rayClusterConfig", {}).get("workerGroupSpecs") or [{}]
    return dict(groups[0])


def _count(text: Any) -> int:
    """A count that anybody may have edited; 0 where it is none, or absurd."""
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) <= _DIGITS_MAX else 0
