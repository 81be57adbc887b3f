"""The last decision on the number of replicas, and why: as the rule tells it of itself, or as its outcome shows. Pure.

The rule decides in Ray Serve; a replica says its last decision. It is asked only while Ray's autoscaler wants another
number than status tells of, so a service that stays as it is is not asked at all. Without a replica nobody can be
asked: that the last one went, and that a request brought one back, follows from the numbers.
"""

from datetime import UTC, datetime
from typing import Any, Final, get_args

from llmservice_api.names import REPLICA_PORT
from llmservice_operator.cold_start import freshest
from llmservice_operator.engine import is_ready_worker, of_revision, ready_replicas
from llmservice_operator.observed import Observed, rfc3339
from llmservice_operator.resources.worker_args import bounds, pods_of_a_replica
from llmservice_operator.shares import wanted_workers
from llmservice_operator.waking import least_awake, wake_left
from llmservice_worker.args import ScalingCause

Json = dict[str, Any]

_MESSAGE_MAX: Final = 256
_MOST: Final = 1000
_CLOCKS_DIFFER_S: Final = 60
"""How far the clock of a replica's machine may be ahead."""


def replica_to_ask(observed: Observed, revision: str | None) -> str | None:
    """`<ip>:<port>` of the newest replica of the active revision, where it knows more than status tells."""
    if revision is None:
        return None
    pods = of_revision(revision, observed.pods)
    pod = freshest(pods, observed.status)
    if pod is None and observed.spec.scaling is not None and _wanted(observed, revision) != _known(observed):
        ready = [each for each in pods if is_ready_worker(each)]
        pod = max(ready, key=lambda each: str(each["metadata"].get("creationTimestamp", "")), default=None)
    ip = pod["status"].get("podIP") if pod is not None else None
    return f"{ip}:{REPLICA_PORT}" if ip else None


def decision(observed: Observed, revision: str | None) -> Json | None:
    """`status.scaling`, by the active revision; None where nothing is scaled, or nothing was decided yet.

    Whatever state its engine is in: the last replica to go is not Ready before Ray's autoscaler has let go of it.
    """
    before: Json | None = observed.status.get("scaling")
    if observed.spec.scaling is None:
        return None
    told = _told((observed.replica or {}).get("scaling"), observed.now)
    if told is not None and told["at"] > (before or {}).get("at", ""):
        return told
    return (_shown(observed, revision) if revision is not None else None) or before


def _shown(observed: Observed, revision: str) -> Json | None:
    """What the numbers alone prove: the rule goes below no bound, and is not asked while nothing runs."""
    was, now = _known(observed), _wanted(observed, revision)
    least, most = bounds(observed.spec, awake=least_awake(observed, revision))
    if was > now == least == 0:
        return _decision(was, now, "Idle", "no request for spec.scaling.idleAfter", observed.now)
    is_by_wake = wake_left(observed) is not None
    if (was == 0 and now > least) or (is_by_wake and was < now <= least):
        return _decision(was, now, "Woken", "requests came while nothing ran", observed.now)
    if was < now <= least or was > now >= most:
        return _decision(was, now, "Bounds", f"{least} to {most} are kept", observed.now)
    return None


def _wanted(observed: Observed, revision: str) -> int:
    """Replicas that Ray's autoscaler keeps workers for, or that are still there."""
    workers = wanted_workers(of_revision(revision, observed.clusters)) // pods_of_a_replica(observed.spec)
    return max(workers, ready_replicas(of_revision(revision, observed.pods)))


def _known(observed: Observed) -> int:
    """The number that status tells of: its last decision's, and before there was one the one that was there."""
    told: Json = observed.status.get("scaling") or {"toReplicas": observed.status.get("desiredReplicas", 0)}
    return int(told["toReplicas"])


def _told(said: Any, observed_at: datetime) -> Json | None:
    """As status has it; None of an answer that is none, since anybody's code may run in a replica."""
    if not isinstance(said, dict) or said.get("cause") not in get_args(ScalingCause):
        return None
    was, now, at = said.get("from"), said.get("to"), said.get("at")
    if not all(type(each) is int and 0 <= each <= _MOST for each in (was, now)) or not isinstance(at, float):
        return None
    if not 0 <= at <= observed_at.timestamp() + _CLOCKS_DIFFER_S:  # one of the future would be the last one for good
        return None
    return _decision(
        was, now, said["cause"], str(said.get("reason", ""))[:_MESSAGE_MAX], datetime.fromtimestamp(at, UTC)
    )


def _decision(was: Any, now: Any, reason: str, message: str, at: datetime) -> Json:
    return {"fromReplicas": was, "toReplicas": now, "reason": reason, "message": message, "at": rfc3339(at)}
