"""Whom a reconcile asks before it decides: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from llmservice_operator import adapters
from llmservice_operator.engine import of_revision, silent_workers
from llmservice_operator.observed import Observed, Probe, Question
from llmservice_operator.plan import Plan, has_died
from llmservice_operator.resources.worker_args import tasks
from llmservice_operator.routing import address, is_routed

_ASKED_DOWNLOADS: Final = 4
"""Pods that are asked how far they are; with a shared volume one downloads and the others wait."""
_ASKED_DEAD: Final = 4
"""How many workers without an engine are asked why."""
_HURT_PATIENCE_S: Final = 5
"""How long a revision that has lost an engine may take to show that another one answers."""
_FIRST_PATIENCE_S: Final = 2
"""How long the first token may take through the gateway: whoever is held there goes first, one by one, until status
says that the engine is up."""


@dataclass(frozen=True)
class ProbeTargets:
    """Which real requests are worth sending before deciding.

    `question` goes to a revision's Service, `route` through the gateway.
    `is_same_engine`: the gateway would ask the very revision that is asked at `engine_address`.
    """

    question: Question
    engine_address: str | None = None
    route: Question | None = None
    is_same_engine: bool = False
    downloads: tuple[str, ...] = ()
    adapters: Mapping[str, str] = field(default_factory=dict)
    dead: tuple[str, ...] = ()

    def route_after(self, engine: Probe | None) -> Question | None:
        """What the gateway is asked: nothing where it could only repeat that the engine gave no answer just now."""
        is_vain = self.is_same_engine and engine is not None and not engine.answered
        return None if is_vain else self.route


def probe_targets(observed: Observed, plan: Plan) -> ProbeTargets:
    """Nothing is asked that status already says, so a steady service is not probed at all."""
    question = Question(observed.spec.model.name or observed.name, tasks(observed.spec)[0])
    if plan.wanted is None or plan.rollout is None:
        return ProbeTargets(question)
    up = plan.engines[plan.wanted].up
    hurt = plan.wanted == plan.rollout.active and has_died(observed, plan)
    if hurt:
        question = replace(question, patience_s=_HURT_PATIENCE_S)
    ask_engine = hurt or (up and not observed.is_verified(plan.wanted))
    fetch = plan.engines[plan.wanted].fetch if not up else None
    downloads = fetch.addresses[:_ASKED_DOWNLOADS] if fetch else ()
    engine, here = address(observed, plan.wanted) if ask_engine else None, observed.status.get("address")
    route = None
    if here and plan.rollout.active is not None and not is_routed(observed, plan.rollout):
        route = question
    elif here and plan.rollout.active is None and engine == here:
        route = replace(question, patience_s=_FIRST_PATIENCE_S)
    dead = silent_workers(of_revision(plan.wanted, observed.pods))[:_ASKED_DEAD] if hurt else ()
    replicas = replicas_to_ask(observed, plan)
    return ProbeTargets(question, engine, route, route is not None and engine == here, downloads, replicas, dead)


def replicas_to_ask(observed: Observed, plan: Plan) -> dict[str, str]:
    """Replicas of the active revision, where that is the wanted one, that have not loaded all adapters yet."""
    if not observed.spec.adapters or plan.rollout is None or plan.rollout.active != plan.wanted:
        return {}
    if not plan.rollout.create:  # held: they know of another spec
        return {}
    return adapters.to_ask(of_revision(plan.rollout.active or "", observed.pods), observed.adapter_replicas.settled)
