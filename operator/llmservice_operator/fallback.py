"""From a pool that has no node to the next, and back when it has one again: pure.

first choice ──its pods find no node for fallbackAfter──► next pool ──10 min, 20 min, 40 min …──► first choice is tried
      ▲                                                      ▲                                           │   │
      └────────────────────────── it answers there ──────────┼───────────────────────────────────────────┘   │
                                                             └─────────────── no node again ─────────────────┘

While the first choice is tried, what runs on the next pool goes on: so whether there is room is found out by asking
for it, and nobody is moved for it in vain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from llmservice_api.base import seconds
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.engine import is_worker, of_revision, ready_replicas
from llmservice_operator.observed import Observed, instant, rfc3339
from llmservice_operator.placement import Placed, Refusal, Scene, place, with_stage
from llmservice_operator.resources.rayservice import revision_name

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
    """Where a service is placed, which pools were passed over, and when time may change that."""

    placement: Placed | Refusal
    passed_over: tuple[PassedOver, ...] = ()
    look_again: timedelta | None = None


def choose(observed: Observed) -> Choice:
    """The pool for a service, given what has become of it on the pools that were chosen before."""
    spec, now = observed.spec, observed.now
    scene = Scene(observed.pools, observed.node_labels, observed.shape, observed.taken, _proved(observed))
    before = [each for each in _remembered(observed) if scene.proved is None or each.pool != scene.proved[0]]
    stays = spec.rollout.strategy == "Recreate" and scene.proved is not None
    closed = {each.pool for each in before if stays or now < each.until}
    since, current = _no_node_since(observed), (observed.status.get("placement") or {}).get("pool")
    waits = [each.until - now for each in before if now < each.until]
    if since is not None and current is not None and not spec.paused:
        left = since + timedelta(seconds=seconds(spec.placement.fallback_after)) - now
        other = place(spec, scene, closed | {current})
        if isinstance(other, Placed) and left <= timedelta():
            after = _with(before, current, now)
            return Choice(other, after, min(each.until for each in after if each.until > now) - now)
        waits += [left] if isinstance(other, Placed) else []
    placement = place(spec, scene, closed)
    if isinstance(placement, Refusal) and closed:
        placement = place(spec, scene)
    if isinstance(placement, Refusal) and scene.taken:
        waits.append(_FULL_AGAIN)
    return Choice(placement, tuple(before), min(waits, default=None))


def revision_of(observed: Observed, spec: LLMServiceSpec, pool: GPUPoolSpec) -> str:
    """The revision that such a spec asks for on a pool."""
    install = observed.install
    return revision_name(observed.name, spec, pool, install.tracing_endpoint, install.ledger_url)


def _proved(observed: Observed) -> tuple[str, int] | None:
    """The pool and the accelerators of a stage with which the active revision is what the spec asks for."""
    before, engine = observed.status.get("placement") or {}, observed.spec.engine
    pool = observed.pools.get(before.get("pool", ""))
    if pool is None or (pool.accelerator is None and "passedOver" not in before):
        return None
    stage = (before.get("accelerators") or 0) // (engine.pipeline_parallel or 1) or engine.tensor_parallel or 1
    active = (observed.status.get("revision") or {}).get("active")
    is_active = active is not None and active == revision_of(observed, with_stage(observed.spec, stage), pool)
    return (before["pool"], stage) if is_active else None


def _remembered(observed: Observed) -> list[PassedOver]:
    found = (observed.status.get("placement") or {}).get("passedOver") or []
    return [PassedOver(each["pool"], instant(each["since"]), each["times"]) for each in found]


def _with(before: Iterable[PassedOver], pool: str, now: datetime) -> tuple[PassedOver, ...]:
    times = {each.pool: each.times for each in before}.get(pool, 0)
    kept = [each for each in before if each.pool != pool]
    return (*kept, PassedOver(pool, now, times + 1))


def _no_node_since(observed: Observed) -> datetime | None:
    """Since when no node takes a worker of the revision that comes up, or else serves; None where one is Ready.

    Only where the spec names pools to fall back to: nobody who names none is moved to whatever else there is.
    """
    if len(observed.spec.placement.pools) < 2:
        return None
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
