"""Carry out a decision: server-side apply, delete, status, Events. What the API refuses comes back as a value."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from llmservice_api.names import API_VERSION, FIELD_MANAGER, LABEL_NAMESPACE, LABEL_SERVICE
from llmservice_operator.cluster import ApiError, Cluster
from llmservice_operator.conditions import Finding
from llmservice_operator.observed import Refused, is_owned, rfc3339
from llmservice_operator.plan import Plan
from llmservice_operator.store import Ref, Store, ref_of
from llmservice_operator.waking import GATEWAYS

Json = dict[str, Any]

_FINAL: Final = (400, 403, 404, 409, 422)
"""Answers that the same request would get again; any other is an error to retry."""


async def execute(cluster: Cluster, store: Store, plan: Plan) -> dict[Ref, Refused]:
    """Apply and delete, children side by side. Returns what was refused for good; other ApiErrors are raised."""
    writes = (_apply(cluster, store, plural, obj) for plural, obj in plan.apply)
    # All have ended before one's failure is raised: else the retry would write beside them.
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    refused: list[tuple[Ref, Refused]] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is not None:
            refused.append(outcome)
    for ref in plan.delete:
        obj = store.get(ref)
        if obj is not None:
            await cluster.delete(ref.plural, ref.namespace, ref.name, obj["metadata"]["uid"])
    return dict(refused)


async def _apply(cluster: Cluster, store: Store, plural: str, obj: Json) -> tuple[Ref, Refused] | None:
    ref = ref_of(plural, obj)
    is_ours = _is_same_owners(store.get(ref), obj)
    if plural == "services" and not is_ours and await _is_foreign(cluster, ref):
        return ref, Refused(409, f"{plural} {ref.name}: exists")
    try:
        # Forced only over what is known as ours: an object of that name which is not ours is a conflict, never taken.
        answer = await cluster.apply(plural, obj, force=is_ours)
    except ApiError as error:
        if error.status not in _FINAL:
            raise
        return ref, Refused(error.status, f"{plural} {ref.name}: {error.message}")
    store.put(plural, answer)
    return None


async def _is_foreign(cluster: Cluster, ref: Ref) -> bool:
    """Whether there is one that we never applied: ports and selectors of two Services merge without a conflict."""
    found = await cluster.get(ref.plural, ref.namespace, ref.name)
    managers = (found or {}).get("metadata", {}).get("managedFields", [])
    return found is not None and not any(each.get("manager") == FIELD_MANAGER for each in managers)


def _is_same_owners(known: Json | None, obj: Json) -> bool:
    """By owner reference; an Ingress has labels in place of one. Labels alone would not do: anybody may set them."""
    if known is None:
        return False
    owners = obj["metadata"].get("ownerReferences", [])
    if owners:
        return is_owned(known, owners[0]["uid"])
    labels = known["metadata"].get("labels", {})
    return all(labels.get(name) == obj["metadata"]["labels"][name] for name in (LABEL_NAMESPACE, LABEL_SERVICE))


async def write_status(cluster: Cluster, store: Store, plural: str, obj: Json, wanted: Json) -> bool:
    """Write the status of `obj`, as it is known; False where it says that already, or nobody is left to say it of."""
    wanted = _ours(wanted)
    if wanted == _ours(obj.get("status") or {}):
        return False
    metadata = obj["metadata"]
    try:
        answer = await cluster.apply_status(plural, metadata.get("namespace", ""), metadata["name"], wanted)
    except ApiError as error:
        if error.status == 404:  # deleted meanwhile: its event is on the way
            return False
        raise
    if answer["metadata"].get("generation") == metadata.get("generation"):
        store.put(plural, answer)
    # Else it was edited meanwhile: put here, the edit would be no news any more when the watch brings it.
    return True


def _ours(status: Json) -> Json:
    """Without the gateways' fields, which to name would be to take them over."""
    return {key: value for key, value in status.items() if key not in GATEWAYS}


async def record(
    cluster: Cluster, kind: str, obj: Json, findings: Sequence[Finding], now: datetime, instance: str
) -> None:
    """One Event for each finding. Its name comes from what it says, so that saying it twice is one Event."""
    for finding in findings:
        try:
            await cluster.create_event(_event(kind, obj, finding, now, instance))
        except ApiError as error:
            if error.status not in _FINAL:
                raise


def _event(kind: str, obj: Json, finding: Finding, now: datetime, instance: str) -> Json:
    metadata = obj["metadata"]
    said = " ".join([metadata["uid"], finding.type, finding.status, finding.reason, rfc3339(now)])
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": metadata.get("namespace", "default"),
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "namespace": metadata.get("namespace"),
            "uid": metadata["uid"],
        },
        "reason": str(finding.reason),
        "message": f"{finding.type}: {finding.message or finding.status}"[:1024],
        "type": "Warning" if finding.is_trouble else "Normal",
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": instance,
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }
