"""The decision: from what is observed to what is applied, deleted and said. Pure; nothing here reads or writes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from llmservice_api.base import seconds
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.conditions import Finding, false, true
from llmservice_operator.engine import (
    EngineState,
    engine_state,
    has_no_engine,
    of_revision,
)
from llmservice_operator.fallback import Choice, choose, revision_of
from llmservice_operator.hibernation import NO_REST, Rest, held, rest, rests
from llmservice_operator.observed import Observed, instant, is_owned
from llmservice_operator.placement import Placed, Refusal
from llmservice_operator.resources.disruptionbudget import make_disruption_budget
from llmservice_operator.resources.ingress import ingress_name, make_ingress
from llmservice_operator.resources.metadata import is_intact
from llmservice_operator.resources.networkpolicy import make_network_policy
from llmservice_operator.resources.rayservice import make_ray_service
from llmservice_operator.resources.service import make_service
from llmservice_operator.resources.worker_args import bounds
from llmservice_operator.rollout import Revisions, Rollout, hold, keep, step
from llmservice_operator.routing import address, route_is_proved
from llmservice_operator.shares import wanted_workers
from llmservice_operator.store import Ref, ref_of
from llmservice_operator.waking import least_awake

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is to be done. `rollout`, `engines` (of each revision) and `rest` are what status speaks of.

    `choice`: None where no pool was looked for.
    """

    accepted: Finding
    placed: Finding | None = None
    pool: str | None = None
    choice: Choice | None = None
    wanted: str | None = None
    rollout: Rollout | None = None
    engines: dict[str, EngineState] = field(default_factory=dict)
    rest: Rest = NO_REST
    apply: tuple[tuple[str, Json], ...] = ()
    delete: tuple[Ref, ...] = ()


Check = Callable[[Observed], Finding | None]


def host_is_reserved(observed: Observed) -> Finding | None:
    """The host is an address, or one that all services share: whoever had it would have their requests."""
    if observed.spec.endpoint is None:
        return None
    host, install = observed.spec.endpoint.host, observed.install
    shared = {urlsplit(url).hostname for url in (install.public_url, install.gateway_url)}
    if host not in shared and not host.endswith((".svc", ".local", ".localhost")) and not host.split(".")[-1].isdigit():
        return None
    message = f"spec.endpoint.host {host} is an address, a name inside the cluster or the gateway's own: choose another"
    return false(ConditionType.ACCEPTED, Reason.HOST_RESERVED, message)


def host_is_taken(observed: Observed) -> Finding | None:
    """Another LLMService has the host."""
    if observed.host_owner is None or observed.spec.endpoint is None:
        return None
    message = (
        f"spec.endpoint.host {observed.spec.endpoint.host} belongs to LLMService {observed.host_owner}: choose another"
    )
    return false(ConditionType.ACCEPTED, Reason.HOST_TAKEN, message)


def child_is_refused(observed: Observed) -> Finding | None:
    """The API server would not take a child; what it says of a RayService is told by EngineReady."""
    refusals = [refused for ref, refused in sorted(observed.refused.items()) if ref.plural != "rayservices"]
    if not refusals:
        return None
    message = "; ".join(refused.message for refused in refusals)
    if any(refused.status == 409 for refused in refusals):
        message += ": an object of that name is not ours, and is left alone; rename or delete it"
        return false(ConditionType.ACCEPTED, Reason.CHILD_NOT_OWNED, message)
    return false(ConditionType.ACCEPTED, Reason.WRITE_REFUSED, message)


CHECKS: Final[tuple[Check, ...]] = (
    host_is_reserved,
    host_is_taken,
    child_is_refused,
)


def decide(observed: Observed) -> Plan:
    """All that follows from what is observed."""
    refused = next((finding for check in CHECKS if (finding := check(observed)) is not None), None)
    if refused is not None:
        return _unchanged(observed, Plan(accepted=refused, engines=_engines(observed)))
    accepted = _accepted(observed)
    choice = choose(observed)
    if isinstance(choice.placement, Refusal):
        placed = false(ConditionType.PLACED, choice.placement.reason, choice.placement.message)
        return _without_place(observed, Plan(accepted, placed, choice=choice), choice.placement)
    return _placed(observed, accepted, choice, choice.placement)


def _accepted(observed: Observed) -> Finding:
    if observed.spec.paused:
        message = "spec.paused is set: nothing is changed until it is not"
        return true(ConditionType.ACCEPTED, Reason.PAUSED, message)
    if observed.taken_names:
        taken = ", ".join(f"{name} (LLMService {owner})" for name, owner in sorted(observed.taken_names.items()))
        message = (
            f"older services of this namespace have the model name {taken} and answer to it on the shared URL: choose "
            f"another (spec.model.name, aliases, adapters), or ask this one at /{observed.namespace}/{observed.name}/v1"
        )
        return true(ConditionType.ACCEPTED, Reason.NAME_TAKEN, message)
    return true(ConditionType.ACCEPTED, Reason.VALID)


def _placed(observed: Observed, accepted: Finding, choice: Choice, placement: Placed) -> Plan:
    wanted = revision_of(observed, placement.spec, placement.pool)
    engines = _engines(observed, wanted)
    rollout = _rollout(observed, wanted, engines, in_its_place=bool(choice.no_room_beside))
    settled = rollout.active if rollout.pending is None else None
    plan = Plan(
        accepted=accepted,
        placed=true(ConditionType.PLACED, Reason.POOL_CHOSEN, f"pool {placement.pool_name}: {placement.message}"),
        pool=placement.pool_name,
        choice=choice,
        wanted=wanted,
        rollout=rollout,
        engines=engines,
        rest=rest(observed, settled, engines.get(settled or ""), revisions(observed)),
    )
    if observed.missing_claim or observed.missing_adapter_claim or observed.spec.paused:
        return _unchanged(observed, plan)
    wanted_objects = [
        (plural, obj)
        for plural, obj in _desired(observed, placement, wanted, rollout)
        if plural != "rayservices" or not plan.rest.hibernates
    ]
    changes = tuple((plural, obj) for plural, obj in wanted_objects if _differs(observed, plural, obj))
    return replace(plan, apply=changes, delete=_leftovers(observed, rollout, plan.rest))


def carried_out(observed: Observed, plan: Plan) -> Plan:
    """The same decision, with the engines as they are after it was carried out.

    Nothing is decided anew: to the status of before, a RayService that was made again would be the one that served.
    """
    return replace(plan, engines=_engines(observed, plan.wanted))


def _engines(observed: Observed, wanted: str | None = None) -> dict[str, EngineState]:
    names = set(revisions(observed)) | ({wanted} if wanted else set())
    return {
        name: engine_state(
            observed.child("rayservices", name),
            of_revision(name, observed.clusters),
            of_revision(name, observed.pods),
            observed.refused.get(Ref("rayservices", observed.namespace, name)),
            observed.download if name == wanted else None,
        )
        for name in sorted(names)
    }


def revisions(observed: Observed) -> list[str]:
    """Names of the revisions that exist."""
    return [
        ref.name
        for ref, obj in observed.children.items()
        if ref.plural == "rayservices" and is_owned(obj, observed.uid) and "deletionTimestamp" not in obj["metadata"]
    ]


def has_died(observed: Observed, plan: Plan) -> bool:
    """Whether an engine of the active revision, which was up, failed and has not come back yet."""
    active = plan.rollout.active if plan.rollout else None
    engine = plan.engines.get(active) if active else None
    if engine is None or engine.up or (observed.status.get("revision") or {}).get("active") != active:
        return False
    was_dead = observed.condition_reason(ConditionType.ENGINE_READY) == Reason.ENGINE_DIED
    is_silent = bounds(observed.spec)[0] > 0 and has_no_engine(of_revision(active or "", observed.pods))
    return engine.reason is Reason.ENGINE_FAILED or ((was_dead or is_silent) and engine.reason is Reason.STARTING)


def _rollout(observed: Observed, wanted: str, engines: dict[str, EngineState], *, in_its_place: bool) -> Rollout:
    answered = observed.engine_probe is not None and observed.engine_probe.answered
    up = engines[wanted].up and address(observed, wanted) is not None
    known = _known_revisions(observed, wanted)
    return step(
        known,
        wanted_answers=up and (answered or observed.is_verified(wanted)),
        active_answers=known.active is not None and observed.is_verified(known.active),
        routed=route_is_proved(observed),
        strategy="Recreate" if in_its_place else observed.spec.rollout.strategy,
        deadline=_deadline(observed),
        drain=_drain(observed),
        now=observed.now,
    )


def _known_revisions(observed: Observed, wanted: str) -> Revisions:
    remembered = observed.status.get("revision") or {}
    resting = {wanted} if rests(observed, wanted) else set()
    return Revisions(
        wanted=wanted,
        existing=resting | set(revisions(observed)),
        active=remembered.get("active"),
        pending=remembered.get("pending"),
        pending_since=_instant_of(remembered.get("pendingSince")),
        draining_since=_instant_of(remembered.get("drainingSince")),
        edited=observed.status.get("observedGeneration") != observed.generation,
    )


def _deadline(observed: Observed) -> timedelta:
    return timedelta(seconds=seconds(observed.spec.rollout.progress_deadline))


def _drain(observed: Observed) -> timedelta:
    return timedelta(seconds=seconds(observed.spec.rollout.drain))


def _without_place(observed: Observed, plan: Plan, refusal: Refusal) -> Plan:
    """No pool takes it: the active revision goes on serving, or resting.

    One that comes up keeps nothing of a full pool, nor where the spec asks for another; else it waits for the pool.
    """
    known = _known_revisions(observed, (observed.status.get("revision") or {}).get("active") or "")
    plan = replace(plan, engines=_engines(observed, known.active))
    kept = _unchanged(observed, plan)
    if observed.spec.paused or not (refusal.is_full or known.edited):
        return replace(kept, wanted=kept.rollout.active if kept.rollout else None)
    rollout = hold(
        known,
        up=[name for name, engine in plan.engines.items() if engine.up],
        routed=route_is_proved(observed),
        deadline=_deadline(observed),
        drain=_drain(observed),
        now=observed.now,
    )
    delete = _leftovers(observed, rollout, NO_REST)
    return replace(kept, wanted=rollout.active, rollout=rollout if rollout.active else None, delete=delete)


def _unchanged(observed: Observed, plan: Plan) -> Plan:
    """What stays as it is while the spec cannot be carried out: the active revision goes on serving, or resting."""
    known = _known_revisions(observed, (observed.status.get("revision") or {}).get("active") or "")
    rollout = keep(known, deadline=_deadline(observed), now=observed.now)
    if rollout.active is None:
        return replace(plan, rollout=None, rest=NO_REST)
    return replace(plan, rollout=rollout, rest=held(observed, rollout.active, revisions(observed)))


def _instant_of(text: str | None) -> Any:
    return instant(text) if text else None


def _desired(observed: Observed, placement: Placed, wanted: str, rollout: Rollout) -> list[tuple[str, Json]]:
    service, spec, install = observed.service, observed.spec, observed.install
    # Of one revision: else one that never comes up would hold the drain of the node of another.
    workers = wanted_workers(of_revision(rollout.active or wanted, observed.clusters))
    desired = [
        ("networkpolicies", _network_policy(observed)),
        ("poddisruptionbudgets", make_disruption_budget(service, spec, workers)),
    ]
    if rollout.create:
        desired += [
            ("rayservices", _ray_service(observed, placement, wanted)),
            ("services", make_service(service, wanted)),
        ]
    if spec.endpoint is not None:
        desired.append(("ingresses", make_ingress(observed.namespace, observed.name, spec.endpoint, install.namespace)))
    return desired


def _network_policy(observed: Observed) -> Json:
    install = observed.install
    return make_network_policy(
        observed.service, install.namespace, install.kuberay_namespace, install.monitoring_namespace
    )


def _ray_service(observed: Observed, placement: Placed, wanted: str) -> Json:
    install = observed.install
    return make_ray_service(
        observed.service,
        placement.spec,
        placement.pool,
        placement.pool_name,
        wanted,
        install.gcs_store,
        install.tracing_endpoint,
        install.ledger_url,
        awake=least_awake(observed, wanted),
    )


def _differs(observed: Observed, plural: str, obj: Json) -> bool:
    known = observed.children.get(ref_of(plural, obj))
    return known is None or not is_intact(obj, known)


def _leftovers(observed: Observed, rollout: Rollout, resting: Rest) -> tuple[Ref, ...]:
    """Revisions that the rollout gives up or that hibernate, Services of no revision, Ingresses of no wanted host."""
    gone = set(rollout.delete) | ({rollout.active} if resting.hibernates else set())
    kept = (set(revisions(observed)) - gone) | {rollout.active} | ({rollout.pending} if rollout.create else set())
    host = observed.spec.endpoint.host if observed.spec.endpoint else None
    return tuple(
        ref
        for ref, obj in observed.children.items()
        if (ref.plural == "rayservices" and ref.name in gone)
        or (ref.plural == "services" and is_owned(obj, observed.uid) and ref.name not in kept)
        or (ref.plural == "ingresses" and (host is None or ref.name != ingress_name(host)))
    )
