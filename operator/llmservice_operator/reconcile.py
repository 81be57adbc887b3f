"""One LLMService, once: observe, plan, execute, report. The same way for every event and every relist."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pydantic import ValidationError

from llmservice_api.names import LLMSERVICES
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.adapters import Settled, is_settled, next_look
from llmservice_operator.cluster import Cluster
from llmservice_operator.conditions import Finding, false, merge, news
from llmservice_operator.decisions import replica_to_ask
from llmservice_operator.execute import execute, record, write_status
from llmservice_operator.fetching import told
from llmservice_operator.observe import Models, children_of, ingresses_of, observe
from llmservice_operator.observed import Install, Observed, Probe, Question, Replicas
from llmservice_operator.plan import Plan, carried_out, decide, has_died
from llmservice_operator.probe_targets import ProbeTargets, probe_targets, replicas_to_ask
from llmservice_operator.report import findings, status
from llmservice_operator.schedules import next_edge
from llmservice_operator.store import Ref, Store
from llmservice_operator.waking import wake_left

Json = dict[str, Any]

_PROBE_AGAIN: Final = 1.0
_FAILED_PROBE_AGAIN: Final = 10.0
_REFUSED_AGAIN: Final = 30.0
_DIED_AGAIN: Final = 10.0
_DOWNLOADING_AGAIN: Final = 2.5


class Prober(Protocol):
    """Real requests."""

    async def engine(self, address: str, question: Question) -> Probe:
        """To a revision's Service, `<ip>:<port>`."""

    async def route(self, namespace: str, name: str, question: Question, address: str) -> Probe:
        """Through the gateway, which must have asked the revision at `address`."""

    async def progress(self, address: str) -> Json | None:
        """Of a download, by the pod at `<ip>:<port>`; None where it does not answer."""

    async def cause(self, address: str) -> str:
        """Why it has no engine, by the replica at `<ip>:<port>`; empty where it does not say."""

    async def replica(self, address: str) -> Json | None:
        """What the replica at `<ip>:<port>` says of itself; None where it does not answer."""

    async def adapters(self, address: str) -> Sequence[Json] | None:
        """Of its adapters, by the replica at `<ip>:<port>`; None where it does not answer."""


@dataclass
class Reconciler:
    """What reconciling takes: watched objects, API server, real requests, a hub, a clock; who is told of a status."""

    store: Store
    cluster: Cluster
    prober: Prober
    install: Install
    clock: Callable[[], datetime]
    instance: str
    on_status: Callable[[Json, Json, datetime], None] = lambda *_: None
    models: Models | None = None
    settled: Settled = field(default_factory=Settled)

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """Bring the LLMService (namespace, name) nearer to its spec; returns seconds to the next look, or None."""
        namespace, name = key
        service = self.store.get(Ref(LLMSERVICES, namespace, name))
        if service is None or "deletionTimestamp" in service["metadata"]:
            await self._remove_ingresses(namespace, name)
            self.settled.note(key, 0, frozenset())
            return None
        try:
            observed = await observe(self.store, self.cluster, self.install, service, self.clock(), self.models)
            known = self.settled.of(key, observed.generation)
            observed = replace(observed, adapter_replicas=Replicas(settled=known))
            return await self._reconcile(observed)
        except ValidationError as error:  # of the spec, or of what the worker would be told
            await self._say_invalid(service, error)
            return None

    async def _reconcile(self, observed: Observed) -> float | None:
        observed, plan = await self._probed(observed)
        replica = replica_to_ask(observed, plan.rollout.active if plan.rollout else None)
        if replica is not None:  # what it says is told, and decides nothing
            observed = replace(observed, replica=await self.prober.replica(replica))
        now, refused = observed, await execute(self.cluster, self.store, plan)
        if refused or plan.apply:
            # Status tells of what was made at once: said by the next reconcile, it would be one more write.
            now = replace(observed, refused=refused, children=self._children(observed))
            plan = decide(now) if refused else carried_out(now, plan)
        await self._report(now, plan)
        # What was written is decided upon next, and no watch need say so. An answer that changed nothing is no step.
        return 0 if self._knows_newer(observed) else again_after(now, plan)

    def _children(self, observed: Observed) -> dict[Ref, Json]:
        return children_of(self.store, self.install, observed.namespace, observed.name)

    def _knows_newer(self, observed: Observed) -> bool:
        known = self.store.get(Ref(LLMSERVICES, observed.namespace, observed.name))
        if known is None:
            return False
        return _version(known) != _version(observed.service) or any(
            _version(obj) != _version(observed.children.get(ref)) for ref, obj in self._children(observed).items()
        )

    async def _probed(self, observed: Observed) -> tuple[Observed, Plan]:
        """With the answers to what was worth asking, and what follows from them."""
        plan = decide(observed)
        asked = await self._asked(observed, probe_targets(observed, plan))
        return asked, plan if asked is observed else decide(asked)

    async def _asked(self, observed: Observed, targets: ProbeTargets) -> Observed:
        if targets.engine_address is not None:
            engine = await self.prober.engine(targets.engine_address, targets.question)
            observed = replace(observed, engine_probe=engine)
        question = targets.route_after(observed.engine_probe)
        if question is not None:
            address = observed.status["address"]
            probe = await self.prober.route(observed.namespace, observed.name, question, address)
            observed = replace(observed, route_probe=probe)
        if targets.downloads:
            answers = await asyncio.gather(*(self.prober.progress(address) for address in targets.downloads))
            observed = replace(observed, download=told([answer for answer in answers if answer is not None]))
        if targets.dead:
            said = await asyncio.gather(*(self.prober.cause(address) for address in targets.dead))
            observed = replace(observed, causes=[cause for cause in said if cause])
        if targets.adapters:
            observed = await self._adapters_told(observed, targets.adapters)
        return observed

    async def _adapters_told(self, observed: Observed, asked: Mapping[str, str]) -> Observed:
        said = await asyncio.gather(*(self.prober.adapters(address) for address in asked.values()))
        answers = dict(zip(asked, said, strict=True))
        before, wanted = observed.adapter_replicas.settled, observed.spec.adapters
        there = {pod["metadata"]["uid"] for pod in observed.pods}
        now = (before & there) | {uid for uid, answer in answers.items() if is_settled(wanted, answer)}
        self.settled.note((observed.namespace, observed.name), observed.generation, now)
        return replace(observed, adapter_replicas=Replicas(answers, before & there))

    async def _report(self, observed: Observed, plan: Plan) -> None:
        await self._write_status(observed.service, status(observed, plan), findings(observed, plan))

    async def _write_status(self, service: Json, wanted: Json, found: list[Finding]) -> None:
        if await write_status(self.cluster, self.store, LLMSERVICES, service, wanted):
            told = news(found, (service.get("status") or {}).get("conditions", []))
            self.on_status(service, wanted, self.clock())
            await record(self.cluster, "LLMService", service, told, self.clock(), self.instance)

    async def _say_invalid(self, service: Json, error: ValidationError) -> None:
        """A spec that the schema did not refuse (an older schema stored it): said, and left as it is."""
        places = [".".join(str(part) for part in ("spec", *item["loc"])) for item in error.errors()]
        message = "; ".join(f"{place}: {item['msg']}" for place, item in zip(places, error.errors(), strict=True))
        found = [
            false(ConditionType.ACCEPTED, Reason.INVALID_SPEC, message),
            false(ConditionType.READY, Reason.INVALID_SPEC, message),
        ]
        before = service.get("status") or {}
        generation = service["metadata"]["generation"]
        conditions = merge(found, before.get("conditions", []), generation, self.clock())
        wanted = before | {"observedGeneration": generation, "conditions": conditions}
        await self._write_status(service, wanted, found)

    async def _remove_ingresses(self, namespace: str, name: str) -> None:
        for ref, obj in ingresses_of(self.store, self.install, namespace, name):
            await self.cluster.delete(ref.plural, ref.namespace, ref.name, obj["metadata"]["uid"])


def again_after(observed: Observed, plan: Plan) -> float | None:
    """Seconds until time itself, not an event, may change the outcome."""
    if (
        observed.refused
        or observed.missing_claim
        or observed.missing_adapter_claim
        or plan.accepted.reason is Reason.HOST_TAKEN
    ):
        return _REFUSED_AGAIN
    waits: list[timedelta] = [plan.choice.look_again] if plan.choice and plan.choice.look_again else []
    if plan.rollout is None:
        return waits[0].total_seconds() if waits else None
    if plan.rollout.check_again:
        waits.append(plan.rollout.check_again)
    if _is_waiting_for_an_answer(observed, plan):
        probes = [probe for probe in (observed.engine_probe, observed.route_probe) if probe is not None]
        slow = any(probe.reached and not probe.answered for probe in probes)
        waits.append(timedelta(seconds=_FAILED_PROBE_AGAIN if slow else _PROBE_AGAIN))
    if plan.wanted is not None and plan.engines[plan.wanted].is_fetching:
        waits.append(timedelta(seconds=_DOWNLOADING_AGAIN))
    look = next_look(observed.spec.adapters, observed.adapter_replicas, replicas_to_ask(observed, plan))
    if look is not None:
        waits.append(timedelta(seconds=look))
    if has_died(observed, plan):
        waits.append(timedelta(seconds=_DIED_AGAIN))
    if observed.taken_names:
        waits.append(timedelta(seconds=_REFUSED_AGAIN))
    waits += [left for left in (wake_left(observed), plan.rest.left, _edge_left(observed)) if left is not None]
    return min(waits).total_seconds() if waits else None


def _version(obj: Json | None) -> str | None:
    return obj["metadata"].get("resourceVersion") if obj is not None else None


def _edge_left(observed: Observed) -> timedelta | None:
    edge = next_edge(observed.spec.scaling.schedules, observed.now) if observed.spec.scaling else None
    return edge - observed.now if edge is not None else None


def _is_waiting_for_an_answer(observed: Observed, plan: Plan) -> bool:
    if plan.wanted is None or plan.rollout is None:
        return False
    unanswered = plan.engines[plan.wanted].up and plan.rollout.pending == plan.wanted
    by_type = {finding.type: finding for finding in findings(observed, plan)}
    route = by_type.get(ConditionType.ROUTE_READY)
    unrouted = (
        plan.rollout.active is not None
        and route is not None
        and route.reason in (Reason.ROUTE_PENDING, Reason.ROUTE_MOVING)
    )
    engine = by_type.get(ConditionType.ENGINE_READY)
    unproved = engine is not None and not engine.holds and plan.engines[plan.wanted].up
    return unanswered or unrouted or unproved
