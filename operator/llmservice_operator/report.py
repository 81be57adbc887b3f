"""Status and conditions of an LLMService from what was observed and decided: pure."""

from typing import Any, Final

from llmservice_api.names import LABEL_REVISION, LABEL_SERVICE
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator import adapters
from llmservice_operator.cold_start import cold_start
from llmservice_operator.conditions import Finding, false, merge, true
from llmservice_operator.decisions import decision
from llmservice_operator.engine import EngineState, of_revision, ready_replicas, scaling_said
from llmservice_operator.fetching import FAILURES, worth_telling
from llmservice_operator.memory import GIB, to_wire
from llmservice_operator.observed import Observed, rfc3339
from llmservice_operator.placement import Placed, Refusal, price
from llmservice_operator.plan import Plan, has_died
from llmservice_operator.progressing import progressing, revision_status
from llmservice_operator.resources.worker_args import bounds, pods_of_a_replica
from llmservice_operator.routing import active_address, gateway_address, is_routed
from llmservice_operator.shares import wanted_workers
from llmservice_operator.waking import least_awake

Json = dict[str, Any]

_DIED: Final = "the engine died and is being restarted: "
_DIRECTIONS: Final = {"UPSCALING": Reason.SCALING_UP, "DOWNSCALING": Reason.SCALING_DOWN}
"""Of a change of replicas, as Ray Serve says it."""
_HIBERNATES: Final = "nothing but the route is left (spec.scaling.hibernateAfter): a request brings it back"
_REQUIRED: Final = (
    ConditionType.ACCEPTED,
    ConditionType.PLACED,
    ConditionType.MODEL_READY,
    ConditionType.ENGINE_READY,
    ConditionType.ROUTE_READY,
)


def status(observed: Observed, plan: Plan) -> Json:
    """The whole status; a part that does not apply is absent."""
    rollout = plan.rollout
    active = rollout.active if rollout else None
    serving = active or (rollout.pending if rollout else None)
    replicas = ready_replicas(of_revision(serving, observed.pods)) if serving else 0
    desired = _desired(observed, serving, replicas)
    parts: Json = {
        "observedGeneration": observed.generation,
        "url": _url(observed, plan),
        "host": observed.spec.endpoint.host if observed.spec.endpoint and plan.accepted.holds else None,
        "address": gateway_address(observed, plan.rollout),
        "model": _model_status(observed, plan),
        "desiredReplicas": desired,
        "replicas": replicas,
        "selector": ",".join(_selector(observed.name, serving)),
        "idleSince": rfc3339(plan.rest.since) if plan.rest.since else None,
        **cold_start(of_revision(active, observed.pods) if active else [], observed.status, observed.replica),
        "scaling": decision(observed, active),
        "revision": revision_status(observed, plan),
        "progress": _progress(observed, plan),
        "adapters": adapters.statuses(
            observed.spec.adapters, observed.adapter_replicas, observed.status.get("adapters") or []
        )
        or None,
        "placement": _placement(observed, plan, desired),
        "pricing": _pricing(observed, plan),
        "conditions": merge(
            findings(observed, plan), observed.status.get("conditions", []), observed.generation, observed.now
        ),
    }
    return {key: value for key, value in parts.items() if value not in (None, {}, "")}


def _desired(observed: Observed, serving: str | None, replicas: int) -> int:
    """What Ray's autoscaler has workers for, at least what runs, within the bounds."""
    least, most = bounds(observed.spec, awake=least_awake(observed, serving))
    workers = wanted_workers(of_revision(serving, observed.clusters)) if serving else 0
    wanted = max(replicas, workers // pods_of_a_replica(observed.spec), least)
    return min(wanted, most)


def _model_status(observed: Observed, plan: Plan) -> Json:
    """Its name, and what its weights turned out to be: as a pod said, even when no pod is left to say it."""
    named: Json = {"name": observed.spec.model.name or observed.name}
    if observed.shape is not None:
        named["shape"] = to_wire(observed.shape, observed.spec.model)
    subject = _subject(plan)
    engine = plan.engines.get(subject) if subject else None
    if engine is not None and engine.fetch is not None and engine.fetch.fetched is not None:
        return named | engine.fetch.fetched
    remembered = observed.status.get("revision") or {}
    if subject is None or subject != (remembered.get("active") or remembered.get("pending")):
        return named
    before = observed.status.get("model") or {}
    return {key: before[key] for key in ("digest", "bytes") if key in before} | named


def _progress(observed: Observed, plan: Plan) -> Json | None:
    """How far the wanted revision has come with fetching its model; None where nothing is fetched, or it is up."""
    engine = plan.engines.get(plan.wanted) if plan.wanted else None
    if engine is None or engine.up or engine.fetch is None or engine.reason in FAILURES:
        return None
    before = observed.status.get("progress")
    if not engine.is_fetching:
        return {"phase": "Starting"} if engine.fetch.fetched else None
    if observed.download is None:
        return before or {"phase": "Downloading"}
    return worth_telling(observed.download, before)


def _url(observed: Observed, plan: Plan) -> str:
    """The own host where there is one, else the gateway's URL with the service's name."""
    endpoint = observed.spec.endpoint
    if endpoint is not None and plan.accepted.holds:
        return f"{'https' if endpoint.tls_secret_name else 'http'}://{endpoint.host}/v1"
    return f"{observed.install.public_url}/{observed.namespace}/{observed.name}/v1"


def _selector(name: str, revision: str | None) -> list[str]:
    pairs = [f"{LABEL_SERVICE}={name}", "ray.io/node-type=worker"]
    return [*pairs, f"{LABEL_REVISION}={revision}"] if revision else pairs


def _placement(observed: Observed, plan: Plan, replicas: int) -> Json:
    placed = plan.choice.placement if plan.choice else None
    if plan.choice is None or (isinstance(placed, Refusal) and plan.rollout is not None):
        return observed.status.get("placement") or {}  # where the revision runs that is held
    parts: Json = {"passedOver": [each.to_wire() for each in plan.choice.passed_over]}
    if isinstance(placed, Placed) and plan.placed is not None:
        cost = price(placed, replicas)
        parts |= {
            "pool": placed.pool_name,
            "reason": plan.placed.message,
            "accelerators": placed.accelerators,
            "memory": f"{placed.memory / GIB:.1f}Gi" if placed.memory else None,
            "costPerHour": f"{cost:.2f}" if cost is not None else None,
        }
    return {key: value for key, value in parts.items() if value}


def _pricing(observed: Observed, plan: Plan) -> Json | None:
    """The service's own prices, else its pool's; while no pool is chosen, those that held before."""
    pool = observed.pools.get(plan.pool) if plan.pool else None
    pricing = observed.spec.pricing or (pool.pricing if pool else None)
    if pricing is not None:
        return pricing.complete.to_wire()
    return observed.status.get("pricing") if plan.pool is None else None


def findings(observed: Observed, plan: Plan) -> list[Finding]:
    """All conditions that apply, the summary last; Reconciling and Stalled only while they hold."""
    found = [plan.accepted, *([plan.placed] if plan.placed else [])]
    subject = _subject(plan)
    engine = plan.engines.get(subject) if subject else None
    if subject is not None or observed.missing_claim is not None:
        was_active = subject == (observed.status.get("revision") or {}).get("active")
        found.append(_model(observed, engine, was_active=was_active))
    if subject is not None:
        found += [_engine(observed, plan, subject, engine), _route(observed, plan)]
        found += [_scaling(observed, plan, subject), progressing(observed, plan)]
    if observed.spec.adapters or observed.missing_adapter_claim is not None:
        found.append(_adapters(observed))
    ready = _ready(found)
    return [*found, ready, *_abnormal(found, ready)]


def _subject(plan: Plan) -> str | None:
    """The revision that ModelReady and EngineReady speak of: the one that serves, else the one that comes up."""
    return (plan.rollout.active or plan.rollout.pending) if plan.rollout else None


def _model(observed: Observed, engine: EngineState | None, *, was_active: bool) -> Finding:
    if observed.missing_claim is not None:
        message = (
            f"spec.model names PersistentVolumeClaim {observed.missing_claim}, which namespace "
            f"{observed.namespace} does not have: create it, or correct source or cacheClaim"
        )
        return false(ConditionType.MODEL_READY, Reason.CLAIM_MISSING, message)
    if engine is not None and engine.model_unreadable:
        return false(ConditionType.MODEL_READY, Reason.MODEL_UNREADABLE, engine.message)
    if engine is not None and engine.has_no_model:
        return false(ConditionType.MODEL_READY, engine.reason, engine.message)
    was_loaded = was_active and observed.condition_holds(ConditionType.MODEL_READY)
    if was_loaded or (engine is not None and engine.up):
        spec = observed.spec.model
        pinned = spec.revision or not spec.source.startswith("hf://")
        note = "" if pinned else "spec.model.revision is not pinned to a commit: a restart may load other weights"
        return true(ConditionType.MODEL_READY, Reason.MODEL_LOADED, note)
    return false(ConditionType.MODEL_READY, Reason.LOADING, "the engine has not loaded the model yet")


def _adapters(observed: Observed) -> Finding:
    """No part of Ready: a broken adapter breaks only itself."""
    kind = ConditionType.ADAPTERS_READY
    if observed.missing_adapter_claim is not None:
        message = (
            f"an adapter's source names PersistentVolumeClaim {observed.missing_adapter_claim}, which namespace "
            f"{observed.namespace} does not have: create it, or correct the source; until then nothing is changed"
        )
        return false(kind, Reason.CLAIM_MISSING, message)
    said = adapters.statuses(observed.spec.adapters, observed.adapter_replicas, observed.status.get("adapters") or [])
    failed = [each for each in said if each["state"] == adapters.FAILED]
    if failed:
        return false(kind, Reason.ADAPTER_FAILED, "; ".join(f"{each['name']}: {_why(each)}" for each in failed))
    waiting = [each["name"] for each in said if each["state"] != adapters.LOADED]
    if waiting:
        return false(kind, Reason.LOADING, f"not loaded yet: {', '.join(waiting)}")
    return true(kind, Reason.ADAPTERS_LOADED, f"{len(said)} loaded")


def _why(adapter: Json) -> str:
    return str(adapter.get("message") or adapter.get("reason") or "its replica does not say why")


def _engine(observed: Observed, plan: Plan, subject: str, engine: EngineState | None) -> Finding:
    kind = ConditionType.ENGINE_READY
    if plan.rest.hibernates:
        return true(kind, Reason.HIBERNATED, _HIBERNATES)
    if engine is None:
        return false(kind, Reason.STARTING, "the RayService is being created")
    probe = observed.engine_probe if subject == plan.wanted else None
    if not engine.up:
        return _not_up(observed, plan, subject, engine, answers=probe is not None and probe.answered)
    if observed.is_verified(subject) or (probe is not None and probe.answered):
        return true(kind, Reason.ENGINE_ANSWERS, f"revision {subject} gave a real token")
    if probe is not None and probe.reached:
        return false(kind, Reason.PROBE_FAILED, f"Ray Serve runs, but a one-token request failed: {probe.error}")
    return false(kind, Reason.STARTING, engine.message)


def _not_up(observed: Observed, plan: Plan, subject: str, engine: EngineState, *, answers: bool) -> Finding:
    """Ray Serve does not call it healthy: it never was, has lost an engine, or takes over changed settings."""
    kind = ConditionType.ENGINE_READY
    if has_died(observed, plan):
        why = "; ".join(dict.fromkeys(observed.causes)) or _said_before(observed) or engine.message
        if answers:
            text = f"an engine of revision {subject} died and is being restarted, another answers: {why}"
            return true(kind, Reason.ENGINE_ANSWERS, text)
        return false(kind, Reason.ENGINE_DIED, f"{_DIED}{why}")
    if engine.reason is Reason.STARTING and observed.is_verified(subject):
        return true(kind, Reason.ENGINE_ANSWERS, f"revision {subject} gave a real token")
    return false(kind, engine.reason, engine.message)


def _said_before(observed: Observed) -> str:
    """The reason that status gives for the same death: a replica that ends takes it with it."""
    if observed.condition_reason(ConditionType.ENGINE_READY) != Reason.ENGINE_DIED:
        return ""
    return observed.condition_message(ConditionType.ENGINE_READY).removeprefix(_DIED)


def _route(observed: Observed, plan: Plan) -> Finding:
    kind = ConditionType.ROUTE_READY
    needs_default = observed.install.gateway_needs_default_class
    if observed.spec.endpoint is not None:
        needs_default = observed.spec.endpoint.ingress_class_name is None
    if needs_default and observed.has_default_class is False:
        message = (
            "the cluster has no default IngressClass, so nothing leads to the gateway: mark one as default "
            "(ingressclass.kubernetes.io/is-default-class) or set the class (spec.endpoint.ingressClassName, "
            "or ingress.className of the chart)"
        )
        return false(kind, Reason.INGRESS_CLASS_MISSING, message)
    here = active_address(observed, plan.rollout)
    if here is None:
        return false(kind, Reason.ROUTE_PENDING, "no revision answers yet, so there is nothing to route to")
    probe = observed.route_probe
    before = observed.status.get("address")
    if is_routed(observed, plan.rollout) or (probe is not None and probe.answered and before == here):
        unseen = needs_default and observed.has_default_class is None
        text = "; whether the cluster has a default IngressClass is not looked at" if unseen else ""
        return true(kind, Reason.ROUTE_ANSWERS, f"a real token came through the gateway{text}")
    if observed.condition_holds(kind) and before not in (None, here):
        return true(kind, Reason.ROUTE_MOVING, "the gateway moves to the new revision; the old one still answers")
    detail = f": {probe.error}" if probe is not None and probe.error else ""
    return false(kind, Reason.ROUTE_PENDING, f"the gateway does not route to the active revision yet{detail}")


def _scaling(observed: Observed, plan: Plan, subject: str) -> Finding:
    if plan.rest.hibernates:
        return true(ConditionType.SCALING, Reason.HIBERNATED, _HIBERNATES)
    least, most = bounds(observed.spec, awake=least_awake(observed, subject))
    count = ready_replicas(of_revision(subject, observed.pods))
    text = (
        f"{count} replicas run, {least} to {most} are wanted" if least != most else f"{count} of {least} replicas run"
    )
    said = scaling_said(observed.child("rayservices", subject))
    if said is not None:
        text = f"{text}; Ray Serve: {said[1]}"
    if least <= count <= most:
        return true(ConditionType.SCALING, _DIRECTIONS[said[0]] if said else Reason.AS_DESIRED, text)
    return false(ConditionType.SCALING, Reason.CHANGING, text)


def _ready(found: list[Finding]) -> Finding:
    by_type = {finding.type: finding for finding in found}
    for kind in _REQUIRED:
        finding = by_type.get(kind)
        if finding is not None and not finding.holds:
            return false(ConditionType.READY, finding.reason, finding.message)
    if ConditionType.ENGINE_READY not in by_type:
        why = next((finding for finding in found if finding.reason is Reason.CLAIM_MISSING), found[0])
        return false(ConditionType.READY, why.reason, f"no revision serves. {why.message}")
    if by_type[ConditionType.ENGINE_READY].reason is Reason.HIBERNATED:
        return true(ConditionType.READY, Reason.HIBERNATED, _HIBERNATES)
    return true(ConditionType.READY, Reason.SERVING, "a real token came through the route")


def _abnormal(found: list[Finding], ready: Finding) -> list[Finding]:
    """kstatus: Stalled where waiting will not help, else Reconciling while something is under way."""
    progressing = next((finding for finding in found if finding.type == ConditionType.PROGRESSING), None)
    troubles = [finding for finding in (ready, progressing) if finding is not None and not finding.holds]
    if not troubles:
        under_way = progressing is not None and progressing.reason is Reason.ROLLING_OUT
        return [true(ConditionType.RECONCILING, Reason.ROLLING_OUT, progressing.message)] if under_way else []  # type: ignore[union-attr]
    worst = next((trouble for trouble in troubles if trouble.is_trouble), troubles[0])
    kind = ConditionType.RECONCILING if not worst.is_trouble else ConditionType.STALLED
    return [true(kind, worst.reason, worst.message)]
