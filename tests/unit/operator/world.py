"""A small world in which decisions are carried out without an API server."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.observed import Observed, Probe
from llmservice_operator.plan import Plan, carried_out, decide
from llmservice_operator.probe_targets import probe_targets
from llmservice_operator.report import status
from llmservice_operator.schedules import in_force
from llmservice_operator.store import Ref, ref_of
from llmservice_operator.waking import GATEWAYS
from tests.unit.operator.builders import INSTALL, NOON, AnEngine, APod, APool, AService

Json = dict[str, Any]

ANSWERS = Probe()
SILENT = Probe(error="TimeoutError")


@dataclass
class World:
    """One LLMService and what the API server would hold of it; `step` decides and carries the decision out."""

    service: Json = field(default_factory=lambda: AService().build())
    pools: dict[str, GPUPoolSpec] = field(default_factory=lambda: {"cpu": APool().build()})
    node_labels: list[Mapping[str, str]] = field(default_factory=lambda: [{}])
    children: dict[Ref, Json] = field(default_factory=dict)
    clusters: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    now: datetime = NOON
    engine_probe: Probe = ANSWERS
    route_probe: Probe = ANSWERS
    more: Json = field(default_factory=dict)
    created: int = 0

    def observed(self) -> Observed:
        """What a reconcile would see, before it asks for tokens."""
        return Observed(
            now=self.now,
            install=self.more.get("install", INSTALL),
            service=copy.deepcopy(self.service),
            spec=in_force(LLMServiceSpec.model_validate(self.service["spec"]), self.now),
            pools=self.pools,
            node_labels=self.node_labels,
            children=copy.deepcopy(self.children),
            clusters=copy.deepcopy(self.clusters),
            pods=copy.deepcopy(self.pods),
            **{key: value for key, value in self.more.items() if key != "install"},
        )

    def probed(self) -> Observed:
        """What a reconcile sees after it has asked whom it wanted to ask."""
        observed = self.observed()
        targets = probe_targets(observed, decide(observed))
        engine = self.engine_probe if targets.engine_address else None
        route = self.route_probe if targets.route_after(engine) else None
        return Observed(**{**vars(observed), "engine_probe": engine, "route_probe": route})

    def step(self) -> Plan:
        """One reconcile: what is decided happens, and status is written."""
        observed = self.probed()
        plan = decide(observed)
        for plural, obj in plan.apply:
            self._put(plural, obj)
        for ref in plan.delete:
            del self.children[ref]
        if plan.apply:
            observed = replace(observed, children=copy.deepcopy(self.children))
            plan = carried_out(observed, plan)
        kept = {key: value for key, value in self.service.get("status", {}).items() if key in GATEWAYS}
        self.service["status"] = status(observed, plan) | kept
        return plan

    def settle(self) -> Plan:
        """Steps until one changes nothing; that one's plan."""
        for _ in range(10):
            before = copy.deepcopy((self.service, self.children))
            plan = self.step()
            if before == (self.service, self.children):
                return plan
        raise AssertionError("still changing after ten steps")

    def edit(self, **spec: Any) -> Self:
        """The user changes the spec; None takes a part away."""
        for key, value in spec.items():
            if value is None:
                self.service["spec"].pop(key, None)
            else:
                self.service["spec"][key] = value
        self.service["metadata"]["generation"] += 1
        return self

    def engine(self, revision: str, engine: AnEngine) -> Self:
        """KubeRay writes a RayService's status."""
        self.children[Ref("rayservices", "team-a", revision)]["status"] = engine.build()
        self.clusters = [engine.cluster(revision)]
        return self

    def up(self, revision: str) -> Self:
        """The engine of a revision runs, and its one worker pod is ready."""
        self.pods.append(APod(revision).ready().build())
        return self.engine(revision, AnEngine().running())

    def later(self, **duration: float) -> Self:
        """Time passes."""
        self.now += timedelta(**duration)
        return self

    def revisions(self) -> list[str]:
        """RayServices that exist."""
        return sorted(ref.name for ref in self.children if ref.plural == "rayservices")

    def names(self, plural: str) -> list[str]:
        """Names of the children of a kind."""
        return sorted(ref.name for ref in self.children if ref.plural == plural)

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition in status; three empty texts where it is absent."""
        found = [item for item in self.service["status"]["conditions"] if item["type"] == kind]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")

    def _put(self, plural: str, obj: Json) -> None:
        ref = ref_of(plural, obj)
        known = self.children.get(ref, {})
        self.created += not known
        address = {"clusterIP": f"10.96.0.{self.created}"} if plural == "services" else {}
        metadata = {"uid": f"uid-{self.created}"} | known.get("metadata", {}) | obj["metadata"]
        spec = known.get("spec", address) | copy.deepcopy(obj["spec"])
        self.children[ref] = copy.deepcopy({**known, **obj, "metadata": metadata, "spec": spec})


def serving(**spec: Any) -> tuple[World, str]:
    """A world whose service is Ready on its first revision, and that revision."""
    world = World(AService().spec(**spec).build())
    revision = str(world.step().wanted)
    world.up(revision).settle()
    assert world.condition("Ready")[0] == "True"
    return world, revision


def kinds(plan: Plan) -> list[str]:
    """Kinds that a plan applies."""
    return [plural for plural, _ in plan.apply]
