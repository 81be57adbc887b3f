"""Carrying a decision out: what is sent, what a refusal becomes, which Events are recorded."""

from typing import Any

import pytest

from llmservice_api.llmservice import Endpoint, LLMServiceSpec
from llmservice_api.names import GPUPOOLS, LLMSERVICES
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.cluster import ApiError
from llmservice_operator.conditions import Finding, false, true
from llmservice_operator.execute import execute, record, write_status
from llmservice_operator.observed import Refused
from llmservice_operator.plan import Plan
from llmservice_operator.resources.disruptionbudget import make_disruption_budget
from llmservice_operator.resources.ingress import make_ingress
from llmservice_operator.resources.networkpolicy import make_network_policy
from llmservice_operator.resources.service import make_service
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import INSTALL, NOON, AService, foreign
from tests.unit.operator.memory import MemoryCluster, Write

SERVICE = AService().build()
POLICY = make_network_policy(SERVICE, INSTALL.namespace, INSTALL.kuberay_namespace)
BUDGET = make_disruption_budget(SERVICE, LLMServiceSpec.model_validate(SERVICE["spec"]))
ACCEPTED = true(ConditionType.ACCEPTED, Reason.VALID)
BOTH = Plan(accepted=ACCEPTED, apply=(("networkpolicies", POLICY), ("poddisruptionbudgets", BUDGET)))


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.mark.parametrize(("generation", "known"), [(1, "101"), (2, "1")], ids=["as it was", "edited meanwhile"])
async def test_an_edit_beside_our_own_status_is_left_to_the_watch_to_bring(
    generation: int, known: str, cluster: MemoryCluster, store: Store
) -> None:
    ref = store.put(LLMSERVICES, SERVICE)
    cluster.put(LLMSERVICES, AService().metadata(generation=generation).build())
    assert await write_status(cluster, store, LLMSERVICES, SERVICE, {"url": "u"})
    found = store.get(ref)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == known, "known already, the watch's event would be no news"


async def test_what_is_applied_is_known_at_once_and_forced_only_afterwards(
    cluster: MemoryCluster, store: Store
) -> None:
    assert await execute(cluster, store, BOTH) == {}
    assert await execute(cluster, store, BOTH) == {}
    assert [write.force for write in cluster.writes] == [False, False, True, True]
    assert [ref.plural for ref, _ in store.children("team-a", "m")] == ["networkpolicies", "poddisruptionbudgets"]


async def test_an_object_that_is_not_ours_is_never_taken(cluster: MemoryCluster, store: Store) -> None:
    ref = cluster.put("networkpolicies", foreign("networkpolicies", POLICY), foreign=True)
    refused = await execute(cluster, store, BOTH)
    assert set(refused) == {ref}
    assert refused[ref].status == 409
    assert cluster.writes == [Write("apply", "poddisruptionbudgets", "m")]


async def test_not_even_one_that_bears_our_labels(cluster: MemoryCluster, store: Store) -> None:
    stranger = foreign("networkpolicies", POLICY)
    cluster.put("networkpolicies", stranger, foreign=True)
    store.put("networkpolicies", stranger)
    assert [refused.status for refused in (await execute(cluster, store, BOTH)).values()] == [409]


@pytest.mark.parametrize("is_known", [True, False])
async def test_nor_a_service_that_would_merge_without_a_conflict(
    is_known: bool, cluster: MemoryCluster, store: Store
) -> None:
    wanted = make_service(SERVICE, "m-1")
    theirs = foreign("services", wanted)
    ref = cluster.put("services", theirs)
    if is_known:  # it bears our label
        store.put("services", theirs)
    plan = Plan(accepted=ACCEPTED, apply=(("services", wanted),))
    assert await execute(cluster, store, plan) == {ref: Refused(409, "services m-1: exists")}
    assert cluster.writes == []


async def test_a_service_of_ours_that_is_not_known_yet_or_was_robbed_of_its_owner_is_taken_on(
    cluster: MemoryCluster,
) -> None:
    wanted = make_service(SERVICE, "m-1")
    plan = Plan(accepted=ACCEPTED, apply=(("services", wanted),))
    assert await execute(cluster, Store(), plan) == {}
    del cluster.objects[Ref("services", "team-a", "m-1")]["metadata"]["ownerReferences"]
    assert await execute(cluster, Store(), plan) == {}
    assert [write.force for write in cluster.writes] == [False, False]


async def test_nor_the_ingress_of_another_service(cluster: MemoryCluster, store: Store) -> None:
    theirs = make_ingress("team-b", "m", Endpoint(host="a.example.com"), INSTALL.namespace)
    theirs["metadata"]["uid"] = "uid-theirs"
    cluster.put("ingresses", theirs, foreign=True)
    store.put("ingresses", theirs)
    ours = make_ingress("team-a", "m", Endpoint(host="a.example.com"), INSTALL.namespace)
    refused = await execute(cluster, store, Plan(accepted=ACCEPTED, apply=(("ingresses", ours),)))
    assert [item.status for item in refused.values()] == [409]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
async def test_a_refusal_for_good_is_a_value(status: int, cluster: MemoryCluster, store: Store) -> None:
    cluster.refusals["apply", "networkpolicies"] = ApiError(status, "No", "no")
    refused = await execute(cluster, store, BOTH)
    assert refused == {Ref("networkpolicies", "team-a", "m"): Refused(status, "networkpolicies m: no")}
    assert cluster.writes == [Write("apply", "poddisruptionbudgets", "m")]


@pytest.mark.parametrize("error", [ApiError(500, "x", "x"), ApiError(429, "x", "x"), TimeoutError(), OSError()])
async def test_anything_else_is_raised_to_be_retried(error: Exception, cluster: MemoryCluster, store: Store) -> None:
    cluster.refusals["apply", "networkpolicies"] = error
    with pytest.raises(type(error)):
        await execute(cluster, store, BOTH)


async def test_delete_is_of_the_object_that_was_seen(cluster: MemoryCluster, store: Store) -> None:
    await execute(cluster, store, BOTH)
    gone, replaced, unknown = (
        Ref("networkpolicies", "team-a", "m"),
        Ref("poddisruptionbudgets", "team-a", "m"),
        Ref("services", "team-a", "x"),
    )
    cluster.objects[replaced]["metadata"]["uid"] = "another"
    await execute(cluster, store, Plan(accepted=ACCEPTED, delete=(gone, replaced, unknown)))
    assert [write for write in cluster.writes if write.verb == "delete"] == [Write("delete", "networkpolicies", "m")]


async def test_an_event_speaks_of_the_object(cluster: MemoryCluster) -> None:
    await record(cluster, "LLMService", SERVICE, [false(ConditionType.READY, Reason.NO_POOL, "no pool")], NOON, "host")
    (event,) = cluster.events
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "NoPool", "Ready: no pool")
    assert event["involvedObject"] == {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "name": "m",
        "namespace": "team-a",
        "uid": "uid-m",
    }
    assert event["metadata"]["namespace"] == "team-a"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("finding", "kind"),
    [
        (true(ConditionType.READY, Reason.SERVING), "Normal"),
        (false(ConditionType.READY, Reason.STARTING, ""), "Normal"),
        (false(ConditionType.PROGRESSING, Reason.ENGINE_FAILED, "x"), "Warning"),
    ],
)
async def test_a_warning_is_what_somebody_should_look_at(finding: Finding, kind: str, cluster: MemoryCluster) -> None:
    await record(cluster, "LLMService", SERVICE, [finding], NOON, "host")
    assert cluster.events[0]["type"] == kind


async def test_the_same_said_twice_is_one_event(cluster: MemoryCluster) -> None:
    for _ in range(2):
        await record(cluster, "LLMService", SERVICE, [ACCEPTED], NOON, "host")
    assert len({event["metadata"]["name"] for event in cluster.events}) == 1
    cluster.refusals["create", "events"] = ApiError(409, "AlreadyExists", "exists")
    await record(cluster, "LLMService", SERVICE, [ACCEPTED], NOON, "host")


async def test_a_long_message_fits_an_event(cluster: MemoryCluster) -> None:
    await record(cluster, "LLMService", SERVICE, [false(ConditionType.READY, Reason.NO_POOL, "x" * 5000)], NOON, "h")
    assert len(cluster.events[0]["message"]) == 1024


POOL = {"metadata": {"name": "cpu", "uid": "u", "generation": 1, "resourceVersion": "1"}, "spec": {}}


@pytest.mark.parametrize(("plural", "obj"), [(LLMSERVICES, SERVICE), (GPUPOOLS, POOL)])
async def test_a_status_is_written_once_and_known_at_once(
    cluster: MemoryCluster, store: Store, plural: str, obj: dict[str, Any]
) -> None:
    ref = cluster.put(plural, obj)
    assert await write_status(cluster, store, plural, obj, {"nodes": 1})
    known = store.get(ref)
    assert known is not None
    assert known["status"] == {"nodes": 1}
    assert not await write_status(cluster, store, plural, known, {"nodes": 1})
    assert cluster.writes == [Write("status", plural, obj["metadata"]["name"])]


async def test_the_status_of_what_was_deleted_meanwhile_is_nobodys(cluster: MemoryCluster, store: Store) -> None:
    assert not await write_status(cluster, store, LLMSERVICES, SERVICE, {"url": "u"})
    assert (cluster.writes, list(store.of_kind(LLMSERVICES))) == ([], [])


@pytest.mark.parametrize("status", [403, 409, 500, 503])
async def test_any_other_refusal_of_a_status_is_tried_again(cluster: MemoryCluster, store: Store, status: int) -> None:
    cluster.put(LLMSERVICES, SERVICE)
    cluster.refusals["status", LLMSERVICES] = ApiError(status, "Failed", "no")
    with pytest.raises(ApiError):
        await write_status(cluster, store, LLMSERVICES, SERVICE, {"url": "u"})
    assert list(store.of_kind(LLMSERVICES)) == []
