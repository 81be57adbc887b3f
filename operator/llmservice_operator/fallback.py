"""From a pool that has no node to the next, and back when it has one again: pure.

first choice ──its pods find no node for fallbackAfter──► next pool ──10 min, 20 min, 40 min …──► first choice is tried
      ▲                                                      ▲                                           │   │
      └────────────────────────── it answers there ──────────┼───────────────────────────────────────────┘   │
                                                             └─────────────── no node again ─────────────────┘

While the first choice is tried, what runs on the next pool goes on: so whether there is room is found out by asking
for it, and nobody is moved for it in vain. Where no pool has room beside what serves, that goes first.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from llmservice_api.base import seconds
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.engine import has_workers, is_worker, of_revision, ready_replicas
from llmservice_operator.observed import Observed, instant, is_owned, rfc3339
from llmservice_operator.placement import Placed, Refusal, Scene, place, with_stage
from llmservice_operator.resources.rayservice import revision_name
from llmservice_operator.shares import share_of

Json = dict[str, Any]

_FIRST_WAIT: Final = timedelta(minutes=10)
_LONGEST_WAIT: Final = timedelta(hours=24)
_FULL_AGAIN: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class PassedOver:
    """A pool that had no node, `times` times in a row, the last time at `since`."""

    pool: str
    since: datetime
    times: int

    @property
    def until(self) -> datetime:
        """When it is tried again."""
        wait: timedelta = _FIRST_WAIT * 2 ** min(self.times - 1, 16)
        return self.since + min(wait, _LONGEST_WAIT)

    def to_wire(self) -> Json:
        """As status has it."""
        return {"pool": self.pool, "since": rfc3339(self.since), "times": self.times}


@dataclass(frozen=True)
class Choice:
    """Where a service is placed, which pools were passed over, and when time may change that.

    `no_room_beside`: why what serves must go before that comes up, where it must.
    """

    placement: Placed | Refusal
    passed_over: tuple[PassedOver, ...] = ()
    look_again: timedelta | None = None
    no_room_beside: str = ""


@dataclass(frozen=True)
class _Standing:
    """What is there of a service: `proved`, `made` and `own` as of Scene.

    `is_tried`: on the pool of the active revision what the spec asks for comes up beside that, or was given up there.
    """

    proved: tuple[str, int] | None = None
    made: frozenset[str] = frozenset()
    own: Mapping[str, int] = field(default_factory=dict)
    is_tried: bool = False


@dataclass(frozen=True)
class _Run:
    """A revision on its pool: accelerators of a stage, and those that it has at least."""

    name: str
    pool: str
    stage: int
    accelerators: int
    exists: bool


def choose(observed: Observed) -> Choice:
    """The pool for a service, given what has become of it on the pools that were chosen before."""
    spec, now = observed.spec, observed.now
    since, current = _no_node_since(observed), (observed.status.get("placement") or {}).get("pool")
    left = since + timedelta(seconds=seconds(spec.placement.fallback_after)) - now if since is not None else None
    has_waited = left is not None and left <= timedelta()
    standing = _standing(observed)
    own = {} if standing.is_tried and not (standing.made and has_waited) else standing.own
    scene = Scene(
        observed.pools,
        observed.node_labels,
        observed.shape,
        observed.taken,
        standing.proved,
        standing.made,
        own,
        has_waited,
    )
    before = [each for each in _remembered(observed) if scene.proved is None or each.pool != scene.proved[0]]
    stays = spec.rollout.strategy == "Recreate" and scene.proved is not None
    # What comes up on another pool is left its time: else a model that loads for longer than that would never be up.
    loads_elsewhere = standing.made if not has_waited else frozenset[str]()
    closed = {
        each.pool
        for each in before
        if stays or now < each.until or (loads_elsewhere and each.pool not in loads_elsewhere)
    }
    waits = [each.until - now for each in before if now < each.until]
    # Nobody who names no other pool is moved to whatever else there is.
    if left is not None and current is not None and len(spec.placement.pools) > 1 and not spec.paused:
        other = place(spec, scene, closed | {current})
        if isinstance(other, Placed) and has_waited:
            after = _with(before, current, now)
            return Choice(other, after, min(each.until for each in after if each.until > now) - now)
        waits += [left] if isinstance(other, Placed) else []
    if left is not None and standing.own and not has_waited:
        waits.append(left)
    placement, why = _placed(spec, scene, closed)
    if isinstance(placement, Refusal) and placement.is_full:
        waits.append(_FULL_AGAIN)
    return Choice(placement, tuple(before), min(waits, default=None), why)


def _placed(spec: LLMServiceSpec, scene: Scene, closed: Collection[str]) -> tuple[Placed | Refusal, str]:
    """Beside what serves, else in its place, and why: on the pools that are not closed, else on all."""
    alone = replace(scene, own={})
    for without in (closed, ()) if closed else ((),):
        beside = place(spec, scene, without)
        if isinstance(beside, Placed):
            return beside, ""
        instead = place(spec, alone, without) if scene.own else beside
        if isinstance(instead, Placed):
            return instead, beside.message
    return instead, ""


def revision_of(observed: Observed, spec: LLMServiceSpec, pool: GPUPoolSpec) -> str:
    """The revision that such a spec asks for on a pool."""
    install = observed.install
    return revision_name(observed.name, spec, pool, install.tracing_endpoint, install.ledger_url)


def _standing(observed: Observed) -> _Standing:
    known = observed.status.get("revision") or {}
    active, proved, own, made, tried = known.get("active"), None, dict[str, int](), set[str](), set[str]()
    for run in _runs(observed, active, known.get("pending")):
        pool = observed.pools.get(run.pool)
        if pool is None:
            continue
        if run.name != revision_of(observed, with_stage(observed.spec, run.stage), pool):
            if run.name == active and observed.spec.rollout.strategy == "BlueGreen" and run.accelerators:
                own[run.pool] = run.accelerators
        elif run.name == active:
            proved = run.pool, run.stage
        else:
            tried.add(run.pool)
            made |= {run.pool} if run.exists else set()
    return _Standing(proved, frozenset(made), own, is_tried=bool(tried & own.keys()))


def _runs(observed: Observed, active: str | None, pending: str | None) -> list[_Run]:
    """Revisions that exist, and those that status remembers. On CPU pools none, unless one was passed over."""
    before, engine = observed.status.get("placement") or {}, observed.spec.engine
    stages, found = engine.pipeline_parallel or 1, list[_Run]()
    existing = [obj for ref, obj in observed.children.items() if ref.plural == "rayservices"]
    for obj in (each for each in existing if is_owned(each, observed.uid)):
        share, name = share_of(obj), obj["metadata"]["name"]
        if share is not None and (share.each or "passedOver" in before):
            # One that may sleep has nothing at least, but while it works it has a replica.
            one = share.each * stages if has_workers(of_revision(name, observed.pods)) else 0
            stage = share.each or engine.tensor_parallel or 1
            found.append(_Run(name, share.pool, stage, max(share.fewest, one), exists=True))
    if "pool" in before and ("accelerators" in before or "passedOver" in before):
        # Status has the pool of the one that comes up, else of the active one, which may rest.
        name = pending or active
        stage = (before.get("accelerators") or 0) // stages or engine.tensor_parallel or 1
        if name is not None and name not in {run.name for run in found}:
            exists = observed.child("rayservices", name) is not None
            found.append(_Run(name, before["pool"], stage, 0, exists))
    return found


def _remembered(observed: Observed) -> list[PassedOver]:
    found = (observed.status.get("placement") or {}).get("passedOver") or []
    return [PassedOver(each["pool"], instant(each["since"]), each["times"]) for each in found]


def _with(before: Iterable[PassedOver], pool: str, now: datetime) -> tuple[PassedOver, ...]:
    times = {each.pool: each.times for each in before}.get(pool, 0)
    kept = [each for each in before if each.pool != pool]
    return (*kept, PassedOver(pool, now, times + 1))


def _no_node_since(observed: Observed) -> datetime | None:
    """Since when no node takes a worker of the revision that comes up, or else serves; None where one is Ready."""
    revision = observed.status.get("revision") or {}
    pods = of_revision(revision.get("pending") or revision.get("active") or "", observed.pods)
    if ready_replicas(pods):
        return None
    waiting = (_unschedulable_since(pod) for pod in pods if is_worker(pod))
    return min((since for since in waiting if since is not None), default=None)


def _unschedulable_since(pod: Json) -> datetime | None:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return instant(condition["lastTransitionTime"]) if condition.get("lastTransitionTime") else None
    return None
