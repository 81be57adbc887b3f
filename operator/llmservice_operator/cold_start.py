"""How long the newest replica took to come up, by phases, as its pod's conditions and containers say: pure.

created ──node──► scheduled ──image──► first container runs ──weights (fetch)──► engine's container ──engine──► Ready
                                                                                              └─ warm-up ──┘
What the pod cannot know, how long the first requests took, its replica says.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from llmservice_api.names import FETCH_CONTAINER, WORKER_CONTAINER
from llmservice_operator.engine import is_ready_worker
from llmservice_operator.observed import instant

Json = dict[str, Any]

PHASES: Final = ("node", "image", "weights", "engine", "total")
WARM_UP: Final = "warmUp"
_LONGEST_S: Final = 86_400


def cold_start(pods: Sequence[Json], before: Json, replica: Json | None = None) -> Json:
    """`coldStartSeconds` and `lastColdStart` of status; `replica`: what the one of the freshest pod says of itself."""
    pod = freshest(pods, before)
    if pod is None:
        return {key: before[key] for key in ("lastColdStart", "coldStartSeconds") if key in before}
    phases = (_phases(pod) or {}) | _warm_up(replica)
    return {"lastColdStart": pod["metadata"]["creationTimestamp"], "coldStartSeconds": phases}


def freshest(pods: Sequence[Json], before: Json) -> Json | None:
    """The youngest pod that has started, where it is younger than the one that `before`, the status, tells of.

    Only its first start counts: a pod that is Ready again would seem to have started for as long as it lived.
    """
    last = before.get("lastColdStart", "")
    fresh = [pod for pod in pods if is_ready_worker(pod) and pod["metadata"].get("creationTimestamp", "") > last]
    started = [pod for pod in fresh if _phases(pod) is not None]
    return max(started, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _warm_up(replica: Json | None) -> dict[str, int]:
    """Whole seconds of the first requests; empty where it does not say them."""
    start = (replica or {}).get("start")
    took = start.get("warm_up") if isinstance(start, dict) else None
    return {WARM_UP: round(took)} if isinstance(took, float) and 0 <= took < _LONGEST_S else {}


def _phases(pod: Json) -> dict[str, int] | None:
    """Whole seconds; None where its engine's container or one before it began more than once, or nobody says when."""
    status = pod.get("status", {})
    if any(each.get("restartCount", 0) for each in status.get("initContainerStatuses", [])):
        return None
    created = instant(pod["metadata"]["creationTimestamp"])
    scheduled, ready, began = _since(status, "PodScheduled"), _since(status, "Ready"), _only_start(status)
    if scheduled is None or ready is None or began is None:
        return None
    runs = {each["name"]: _run(each) for each in status.get("initContainerStatuses", [])}
    first = min([run[0] for run in runs.values() if run is not None], default=began)
    fetch = runs.get(FETCH_CONTAINER)
    spans = ((created, scheduled), (scheduled, first), fetch or (began, began), (began, ready), (created, ready))
    return {phase: _seconds(*span) for phase, span in zip(PHASES, spans, strict=True)}


def _only_start(status: Json) -> datetime | None:
    """When the engine's container began, which it did only once."""
    for container in status.get("containerStatuses", []):
        running = container.get("state", {}).get("running") or {}
        if container["name"] == WORKER_CONTAINER and not container.get("restartCount", 0) and "startedAt" in running:
            return instant(running["startedAt"])
    return None


def _since(status: Json, kind: str) -> datetime | None:
    found = [each for each in status.get("conditions", []) if each["type"] == kind and each["status"] == "True"]
    return instant(found[0]["lastTransitionTime"]) if found and "lastTransitionTime" in found[0] else None


def _run(container: Json) -> tuple[datetime, datetime] | None:
    ended = container.get("state", {}).get("terminated") or {}
    if not ended.get("startedAt") or not ended.get("finishedAt"):
        return None
    return instant(ended["startedAt"]), instant(ended["finishedAt"])


def _seconds(begin: datetime, end: datetime) -> int:
    return max(0, int((end - begin).total_seconds()))
