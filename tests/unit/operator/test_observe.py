"""What of the other LLMServices bears on one, and what is asked of its model."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from llmservice_api.llmservice import ModelSpec
from llmservice_operator.memory import Shape, to_wire
from llmservice_operator.observe import observe
from llmservice_operator.plan import decide
from llmservice_operator.report import findings
from llmservice_operator.shares import Taken
from llmservice_operator.store import Store
from tests.unit.operator.builders import INSTALL, NOON, APool, AService, a_claim
from tests.unit.operator.memory import MemoryCluster

Json = dict[str, Any]
BEFORE, AFTER = "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"


def older(name: str = "a", namespace: str = "team-a", at: str = BEFORE) -> AService:
    return AService(name, namespace).metadata(creationTimestamp=at)


def ours(**model: Any) -> Json:
    return AService().model(**model).metadata(creationTimestamp="2026-01-02T00:00:00Z").build()


TAKEN: dict[str, tuple[Json, list[AService], dict[str, str]]] = {
    "alone": (ours(), [], {}),
    "other names": (ours(name="x"), [older(), older("b").model(name="y", aliases=["z"])], {}),
    "its name is the other's object": (ours(name="a"), [older()], {"a": "a"}),
    "its own object's name is the other's model": (ours(), [older().model(name="m")], {"m": "a"}),
    "an alias of both": (ours(aliases=["g", "h"]), [older().model(aliases=["g"])], {"g": "a"}),
    "an adapter of the other": (ours(aliases=["sql"]), [older().spec(adapters=[{"name": "sql"}])], {"sql": "a"}),
    "two older ones: the oldest answers": (
        ours(name="x"),
        [older("b", at="2026-01-01T12:00:00Z").model(name="x"), older("c").model(name="x")],
        {"x": "c"},
    ),
    "a younger one": (ours(name="x"), [older(at=AFTER).model(name="x")], {}),
    "of the same second: by name": (ours(name="x"), [older("z", at="2026-01-02T00:00:00Z").model(name="x")], {}),
    "of another namespace": (ours(name="x"), [older(namespace="team-b").model(name="x")], {}),
    "one that is going": (ours(name="x"), [older().model(name="x").metadata(deletionTimestamp=AFTER)], {}),
}


@pytest.mark.parametrize(("service", "others", "taken"), TAKEN.values(), ids=TAKEN)
async def test_a_name_that_an_older_service_answers_to_is_said(
    service: Json, others: list[AService], taken: dict[str, str]
) -> None:
    store = Store()
    for obj in (service, *(each.build() for each in others)):
        store.put("llmservices", obj)
    observed = await observe(store, MemoryCluster(), INSTALL, service, NOON)
    assert observed.taken_names == taken
    accepted = findings(observed, decide(observed))[0]
    assert (accepted.holds, str(accepted.reason)) == (True, "NameTaken" if taken else "Valid")
    assert all(f"{name} (LLMService {owner})" in accepted.message for name, owner in taken.items())


SHAPE = Shape(65_524_297_360, 16, 131_072, 8, 64, 40_960)


@dataclass
class AHub:
    """Knows one shape, and counts how often it is asked."""

    asked: int = 0

    async def shape(self, model: ModelSpec) -> Shape | None:
        assert model.source == "hf://org/model"
        self.asked += 1
        return SHAPE


def a_store(*services: Json, pool: APool) -> Store:
    store = Store()
    store.put("gpupools", {"metadata": {"name": "l4", "uid": "p"}, "spec": pool.wire()})
    for service in services:
        store.put("llmservices", service)
    return store


REMEMBERED = {"shape": to_wire(SHAPE, ModelSpec(source="hf://org/model", revision="abc"))}
OTHER = {"shape": to_wire(SHAPE, ModelSpec(source="hf://org/other"))}
GPU, CPU = APool().gpu(), APool()
ASKED: dict[str, tuple[AService, APool, int, Shape | None]] = {
    "a new service": (AService(), GPU, 1, SHAPE),
    "no pool has accelerators": (AService(), CPU, 0, None),
    "known before": (AService().status(model=REMEMBERED), GPU, 0, SHAPE),
    "known of another model": (AService().status(model=OTHER), GPU, 1, SHAPE),
    "it serves and nobody has edited it": (
        AService().status(revision={"active": "m-1"}, observedGeneration=1),
        GPU,
        0,
        None,
    ),
    "it serves and was edited": (AService().status(revision={"active": "m-1"}, observedGeneration=0), GPU, 1, SHAPE),
    "it says itself what it needs": (AService().spec(engine={"memory": "9Gi"}), GPU, 0, None),
}


@pytest.mark.parametrize(("service", "pool", "asked", "shape"), ASKED.values(), ids=ASKED)
async def test_a_hub_is_asked_only_where_something_is_placed_by_its_answer(
    service: AService, pool: APool, asked: int, shape: Shape | None
) -> None:
    hub, obj = AHub(), service.build()
    observed = await observe(a_store(obj, pool=pool), MemoryCluster(), INSTALL, obj, NOON, hub)
    assert (hub.asked, observed.shape) == (asked, shape)


GPUS = APool().gpu(per_node=8)


@pytest.mark.parametrize(("pool", "taken"), [(GPUS, {"l4": Taken(6, 6)}), (APool(), {})])
async def test_what_other_services_have_of_a_pool_with_accelerators(pool: APool, taken: dict[str, Taken]) -> None:
    service = ours()
    store = a_store(service, AService("a").build(), pool=pool)
    store.put("rayservices", a_claim("a-1", "l4", least=6))
    observed = await observe(store, MemoryCluster(), INSTALL, service, NOON)
    assert observed.taken == taken


async def test_what_is_cluster_scoped_is_unknown_where_it_may_not_be_read() -> None:
    store = Store()
    service = ours()
    store.put("llmservices", service)
    seen = await observe(store, MemoryCluster(), INSTALL, service, NOON)
    assert (seen.node_labels, seen.has_default_class) == ([], False)
    unseen = await observe(store, MemoryCluster(), replace(INSTALL, sees_cluster=False), service, NOON)
    assert (unseen.node_labels, unseen.has_default_class) == (None, None)
