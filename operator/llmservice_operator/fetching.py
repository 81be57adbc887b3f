"""What the worker pods of a revision say of fetching their model: pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmservice_api.names import FETCH_CONTAINER, FETCH_PORT
from llmservice_api.reasons import Reason
from llmservice_worker.fetch import failure as failures

Json = dict[str, Any]

FAILURES: Final = frozenset(Reason(reason.value) for reason in failures.Reason)
"""Why a model cannot be fetched, as the worker's code says it: reasons of ModelReady."""
_NUMBERS: Final = ("percent", "bytes", "totalBytes", "etaSeconds")
_PHASE_MAX: Final = 32
_FAILED: Final = "Failed"
_RANK: Final = {"Downloading": 2, "Verifying": 2, _FAILED: 1}


@dataclass(frozen=True)
class Fetch:
    """`is_running`: a pod fetches now; `addresses`: `<ip>:<port>` of those to ask; `fetched`: what one got."""

    is_running: bool = False
    addresses: tuple[str, ...] = ()
    fetched: Json | None = None


def fetch_of(pods: Sequence[Json]) -> Fetch | None:
    """What the pods of one revision say; None where no pod has anything to fetch."""
    found = [(pod, state) for pod in pods if (state := _container(pod)) is not None]
    if not found:
        return None
    busy = [pod for pod, state in found if "running" in state.get("state", {})]
    fetched = [done for _, state in found if (done := _fetched(state)) is not None]
    return Fetch(
        is_running=bool(busy),
        addresses=tuple(f"{ip}:{FETCH_PORT}" for pod in busy if (ip := pod["status"].get("podIP"))),
        fetched=fetched[0] if fetched else None,
    )


def failure(download: Json | None) -> tuple[Reason, str] | None:
    """Why a pod's last try failed, by its own words."""
    if download is None or download["phase"] != _FAILED:
        return None
    return Reason(download["reason"]), download["message"]


def told(answers: Sequence[Json]) -> Json | None:
    """The answer that says most: of the pod that downloads, else of one that failed, not of those that wait."""
    shaped = [_shaped(answer) for answer in answers]
    return max(shaped, key=lambda answer: (_RANK.get(answer["phase"], 0), answer.get("percent", 0)), default=None)


def worth_telling(now: Json, before: Json | None) -> Json:
    """The progress for status: what it said before unless percent or phase have changed, so that writes are few."""
    if before is None or now.get("phase") != before.get("phase") or now.get("percent") != before.get("percent"):
        return now
    return before


def _container(pod: Json) -> Json | None:
    if "deletionTimestamp" in pod["metadata"]:
        return None
    statuses = pod.get("status", {}).get("initContainerStatuses", [])
    return next((status for status in statuses if status["name"] == FETCH_CONTAINER), None)


def _fetched(container: Json) -> Json | None:
    ended = container.get("state", {}).get("terminated") or {}
    said = _object(ended.get("message", ""))
    if ended.get("exitCode") != 0 or "digest" not in said:
        return None
    return {"digest": str(said["digest"]), "bytes": int(said.get("bytes", 0))}


def _shaped(answer: Json) -> Json:
    """As status has it, whatever a pod says."""
    if answer.get("phase") == _FAILED and answer.get("reason") in FAILURES:
        return {"phase": _FAILED, "reason": answer["reason"], "message": str(answer.get("message", ""))}
    numbers = {name: answer[name] for name in _NUMBERS if isinstance(answer.get(name), int)}
    return {"phase": str(answer.get("phase", ""))[:_PHASE_MAX], **numbers}


def _object(text: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
