"""What of the other LLMServices bears on one."""

from typing import Any

import pytest

from llmservice_operator.observe import observe
from llmservice_operator.plan import decide
from llmservice_operator.report import findings
from llmservice_operator.store import Store
from tests.unit.operator.builders import INSTALL, NOON, AService
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
