"""What status says of a rollout: which revision answers, which one comes up, and how far that is. Pure."""

from typing import Any

from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.conditions import Finding, false, true
from llmservice_operator.observed import Observed, rfc3339
from llmservice_operator.plan import Plan

Json = dict[str, Any]


def revision_status(observed: Observed, plan: Plan) -> Json:
    """status.revision."""
    rollout = plan.rollout
    if rollout is None:
        return {}
    parts = {
        "active": rollout.active,
        "pending": rollout.pending,
        "pendingSince": rfc3339(rollout.pending_since) if rollout.pending_since else None,
        "drainingSince": rfc3339(rollout.draining_since) if rollout.draining_since else None,
        "noRoomBeside": _no_room_beside(observed, plan),
    }
    return {key: value for key, value in parts.items() if value is not None}


def _no_room_beside(observed: Observed, plan: Plan) -> str | None:
    """Why the revision before went before the pending one is up, as long as nothing serves in its place."""
    rollout = plan.rollout
    if rollout is None or rollout.pending is None or rollout.active is not None:
        return None
    before = observed.status.get("revision") or {}
    remembered = before.get("noRoomBeside") if before.get("pending") == rollout.pending else None
    return (plan.choice.no_room_beside if plan.choice else "") or remembered


def progressing(observed: Observed, plan: Plan) -> Finding:
    """The condition Progressing."""
    kind, rollout = ConditionType.PROGRESSING, plan.rollout
    if rollout is None or rollout.pending is None:
        if rollout is not None and rollout.draining_since is not None:
            return true(kind, Reason.DRAINING, "older revisions finish what they have begun")
        return true(kind, Reason.ROLLED_OUT, "")
    engine = plan.engines.get(rollout.pending)
    said = engine.message if engine else "is created"
    if rollout.overdue and not rollout.create:
        return false(kind, Reason.DEADLINE_EXCEEDED, _given_up(observed, rollout.pending, said))
    if engine is not None and engine.failed:
        return false(kind, engine.reason, f"revision {rollout.pending}: {said}")
    if rollout.overdue:
        message = f"revision {rollout.pending} is not up after spec.rollout.progressDeadline: {said}"
        return false(kind, Reason.DEADLINE_EXCEEDED, message)
    why = _no_room_beside(observed, plan)
    instead = f" in place of the one before, since there is no room for two ({why})" if why else ""
    return true(kind, Reason.ROLLING_OUT, f"revision {rollout.pending}{instead}: {said}")


def _given_up(observed: Observed, revision: str, said: str) -> str:
    """With what its engine said last: it is gone by the next look."""
    begin = f"revision {revision} was not up after spec.rollout.progressDeadline and is given up until the next edit"
    if observed.condition_reason(ConditionType.PROGRESSING) == Reason.DEADLINE_EXCEEDED:
        before = observed.condition_message(ConditionType.PROGRESSING)
        if before.startswith(begin):
            return before
    return f"{begin}: {said}"
