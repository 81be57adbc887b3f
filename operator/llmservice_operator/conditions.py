"""Conditions as values, and how they become status: a transition time moves only when the status does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.observed import rfc3339

Json = dict[str, Any]
Truth = Literal["True", "False", "Unknown"]

MESSAGE_MAX: Final = 4096
TEMPORARY: Final = frozenset(
    {
        Reason.STARTING,
        Reason.LOADING,
        Reason.DOWNLOADING,
        Reason.ROUTE_PENDING,
        Reason.UNSCHEDULABLE,
        Reason.CHANGING,
        Reason.PROBE_FAILED,
        Reason.ENGINE_DIED,
    }
)
"""Reasons that time alone may mend."""
_STEPS: Final = frozenset({Reason.STARTING, Reason.LOADING, Reason.ROUTE_PENDING})
"""Where a start that goes well stands; Progressing tells of its begin."""
_TOLD: Final = (
    ConditionType.READY,
    ConditionType.PROGRESSING,
    ConditionType.ADAPTERS_READY,
    ConditionType.LIMITS_ENFORCED,
)


@dataclass(frozen=True)
class Finding:
    """What was found of one aspect."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str = ""

    @property
    def holds(self) -> bool:
        """Whether the condition is True."""
        return self.status == "True"

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should look: it does not hold, and waiting alone will not mend it."""
        return not self.holds and self.reason not in TEMPORARY


def true(kind: ConditionType, reason: Reason, message: str = "") -> Finding:
    """The aspect holds."""
    return Finding(kind, "True", reason, message)


def false(kind: ConditionType, reason: Reason, message: str) -> Finding:
    """The aspect does not hold; the message says what to do."""
    return Finding(kind, "False", reason, message)


def merge(findings: Iterable[Finding], previous: Sequence[Json], generation: int, now: datetime) -> list[Json]:
    """Conditions of status, in the findings' order, keeping the transition time of each whose status stays."""
    known = {condition["type"]: condition for condition in previous}
    return [_merged(finding, known.get(finding.type), generation, now) for finding in findings]


def _merged(finding: Finding, known: Json | None, generation: int, now: datetime) -> Json:
    stays = known is not None and known["status"] == finding.status
    return {
        "type": str(finding.type),
        "status": finding.status,
        "reason": str(finding.reason),
        "message": finding.message[:MESSAGE_MAX],
        "observedGeneration": generation,
        "lastTransitionTime": known["lastTransitionTime"] if known is not None and stays else rfc3339(now),
    }


def news(findings: Iterable[Finding], previous: Sequence[Json]) -> list[Finding]:
    """The findings worth an Event: those that sum up or tell of a rollout, whose status or reason has changed.

    Each Event is a write as large as a child's, so a start that goes well tells of its begin and of Ready only.
    """
    known = {condition["type"]: (condition["status"], condition["reason"]) for condition in previous}
    told = [finding for finding in findings if _is_news(finding, *known.get(finding.type, ("", "")))]
    if any(finding.type == ConditionType.READY and finding.holds for finding in told):
        return [finding for finding in told if finding.reason is not Reason.ROLLED_OUT]
    return told


def _is_news(finding: Finding, status: str, reason: str) -> bool:
    if finding.type not in _TOLD or (finding.status, str(finding.reason)) == (status, reason):
        return False
    return finding.type != ConditionType.READY or finding.reason not in _STEPS or status == "True"
