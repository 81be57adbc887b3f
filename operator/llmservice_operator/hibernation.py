"""Whether nothing of a service that sleeps is left but its route: no worker, and no head either. Pure.

up ──last replica goes──► asleep ──hibernateAfter──► hibernated ──a request wakes it──► up
                             └── a replica comes ──► up

What is remembered stands in status: `idleSince`, and the active revision, which needs no RayService while it rests.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from llmservice_api.base import seconds
from llmservice_operator.engine import EngineState, has_workers, of_revision
from llmservice_operator.observed import Observed, instant
from llmservice_operator.resources.worker_args import bounds
from llmservice_operator.waking import last_wake, least_awake


@dataclass(frozen=True)
class Rest:
    """`since`: when the last replica was seen to be gone, None where one is up. `hibernates`: there is no RayService.

    `left`: how long until it hibernates, where time alone decides that.
    """

    since: datetime | None = None
    hibernates: bool = False
    left: timedelta | None = None


NO_REST: Final = Rest()


def rest(observed: Observed, revision: str | None, engine: EngineState | None, existing: Collection[str]) -> Rest:
    """How the active revision rests. `existing`: the revisions that have a RayService."""
    since, after, exists = _since(observed, revision), _patience(observed), revision in existing
    if revision is None or after is None or has_workers(of_revision(revision, observed.pods)):
        return Rest(since if not exists else None)
    if exists and (least_awake(observed, revision) or set(existing) != {revision}):
        return NO_REST
    woken = last_wake(observed)
    if since is None or (woken is not None and woken > since):
        # It begins with an engine that is up, else a start after a wake could be taken for sleep.
        begins = exists and engine is not None and engine.up
        return Rest(observed.now, left=after) if begins else Rest(since if not exists else None)
    left = since + after - observed.now
    return Rest(since, left=left) if left > timedelta() else Rest(since, hibernates=True)


def held(observed: Observed, revision: str | None, existing: Collection[str]) -> Rest:
    """How it rests while nothing may be changed: as it did."""
    since = _since(observed, revision)
    return Rest(since, hibernates=since is not None and revision not in existing)


def rests(observed: Observed, revision: str | None) -> bool:
    """Whether status says that this revision, the active one, sleeps: it may lack a RayService and still be active."""
    return _since(observed, revision) is not None


def _since(observed: Observed, revision: str | None) -> datetime | None:
    text = observed.status.get("idleSince")
    active = (observed.status.get("revision") or {}).get("active")
    return instant(text) if text and revision is not None and revision == active else None


def _patience(observed: Observed) -> timedelta | None:
    """spec.scaling.hibernateAfter, where the service may have no replica now."""
    scaling = observed.spec.scaling
    if scaling is None or scaling.hibernate_after is None or bounds(observed.spec)[0] > 0:
        return None
    return timedelta(seconds=seconds(scaling.hibernate_after))
