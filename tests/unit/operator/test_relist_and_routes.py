"""From a changed object to keys; and the relist that finds what a watch lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from typing import Any

import kopf
import pytest

from llmservice_api.names import LABEL_NAMESPACE, LABEL_SERVICE
from llmservice_operator.cluster import ApiError
from llmservice_operator.handlers import (
    CHILDREN,
    SHARED,
    WATCHED,
    NothingRemembered,
    Router,
    configure,
    registry,
    watched,
)
from llmservice_operator.relist import Relister, shared_part_changed
from llmservice_operator.store import Ref, Store, ref_of
from llmservice_operator.workqueue import KeyQueue
from tests.unit.operator.builders import AService, a_node, an_api_key, child, service_ref
from tests.unit.operator.memory import MemoryCluster

Json = dict[str, Any]
SERVICE = AService().build()
POOL = {"metadata": {"name": "cpu", "uid": "p"}, "spec": {}}


def _nobody() -> Any:
    async def reconcile(_: Hashable) -> float | None:
        raise AssertionError("no worker runs in these tests")

    return KeyQueue(reconcile, lambda *_: None)


@pytest.fixture
def router() -> Router:
    return Router(Store(), _nobody(), _nobody(), _nobody())


def waiting(queue: KeyQueue[Any]) -> set[Any]:
    """Keys that were added since the last call."""
    found = {*queue._first, *queue._others}
    queue._first.clear()
    queue._others.clear()
    return found


ROUTES: dict[str, tuple[str, Json, set[tuple[str, str]]]] = {
    "the service itself": ("llmservices", SERVICE, {("team-a", "m")}),
    "its child": ("services", child(SERVICE, "m-1"), {("team-a", "m")}),
    "its pod": ("pods", child(SERVICE, "m-1-worker"), {("team-a", "m")}),
    "a child of a service that is unknown": ("services", child(AService("n").build(), "n-1"), {("team-a", "n")}),
    "an unlabelled Service": ("services", {"metadata": {"name": "x", "namespace": "team-a"}}, set()),
    "an Ingress in the gateway's namespace": (
        "ingresses",
        {
            "metadata": {
                "name": "host-1",
                "namespace": "llmservice-system",
                "labels": {LABEL_SERVICE: "m", LABEL_NAMESPACE: "team-a"},
            }
        },
        {("team-a", "m")},
    ),
    "a pool": ("gpupools", POOL, {("team-a", "m"), ("team-b", "o")}),
    "a node": ("nodes", a_node(), {("team-a", "m"), ("team-b", "o")}),
    "an Ingress class": ("ingressclasses", {"metadata": {"name": "t"}}, {("team-a", "m"), ("team-b", "o")}),
    "a key": ("apikeys", an_api_key(), set()),
}


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(("plural", "obj", "keys"), ROUTES.values(), ids=ROUTES)
async def test_whom_an_object_bears_on(
    plural: str, obj: Json, keys: set[tuple[str, str]], deleted: bool, router: Router
) -> None:
    for service in (AService("m").metadata(resourceVersion="0").build(), AService("o", "team-b").build()):
        router.store.put("llmservices", service)
    (router.deleted if deleted else router.changed)(plural, obj)
    assert waiting(router.services) == keys
    assert waiting(router.api_keys) == ({("team-a", "app")} if plural == "apikeys" else set())


@pytest.mark.parametrize(
    ("edited", "goes_first"), [(AService(), False), (AService().metadata(generation=2), True), (AService("n"), True)]
)
async def test_what_somebody_asked_for_goes_first(edited: AService, goes_first: bool, router: Router) -> None:
    router.store.put("llmservices", AService("m").metadata(resourceVersion="0").build())
    router.changed("llmservices", edited.build())
    assert bool(router.services._first) is goes_first


LATER: dict[str, tuple[str, Json, Json, bool]] = {
    "an echo of our own write": ("services", {}, {}, False),
    "a newer one": ("services", {"resourceVersion": "2"}, {}, True),
    "a budget's status": ("poddisruptionbudgets", {"resourceVersion": "2"}, {"status": {"currentHealthy": 1}}, False),
    "a policy's edited annotation": ("networkpolicies", {"resourceVersion": "2", "annotations": {}}, {}, True),
    "a budget's edited spec": ("poddisruptionbudgets", {"resourceVersion": "2"}, {"spec": {"minAvailable": 7}}, True),
    "a RayService's status": ("rayservices", {"resourceVersion": "2"}, {"status": {"x": 1}}, True),
    "a service's echo": ("llmservices", {}, {}, False),
    "another's edit of a service": ("llmservices", {"resourceVersion": "2"}, {}, True),
}


@pytest.mark.parametrize(("plural", "metadata", "parts", "is_news"), LATER.values(), ids=LATER)
async def test_only_news_are_looked_at(plural: str, metadata: Json, parts: Json, is_news: bool, router: Router) -> None:
    known = SERVICE if plural == "llmservices" else child(SERVICE, "m")
    known = {**known, "metadata": known["metadata"] | {"resourceVersion": "1"}}
    router.store.put(plural, known)
    event = {**known, **parts, "metadata": known["metadata"] | metadata}
    router.changed(plural, event)
    assert waiting(router.services) == ({("team-a", "m")} if is_news else set())
    stored = router.store.get(ref_of(plural, event))
    assert stored is not None
    assert stored["metadata"]["resourceVersion"] == event["metadata"]["resourceVersion"]


@pytest.mark.parametrize(("uid", "known"), [("old", True), ("new", False)])
def test_a_late_deletion_does_not_forget_who_has_the_name_now(uid: str, known: bool, router: Router) -> None:
    service = child(SERVICE, "m-1")
    service["metadata"]["uid"] = "new"
    router.store.put("services", service)
    router.deleted("services", {**service, "metadata": {**service["metadata"], "uid": uid}})
    assert (router.store.get(Ref("services", "team-a", "m-1")) is not None) is known
    assert waiting(router.services) == {("team-a", "m")}


async def test_a_budget_that_comes_or_goes_bears_on_the_keys_that_name_it(router: Router) -> None:
    for name, spec in (("app", {"budgetRef": {"name": "team"}}), ("other", {"budgetRef": {"name": "x"}}), ("none", {})):
        router.store.put("apikeys", an_api_key(name, **spec))
    budget = {"metadata": {"name": "team", "namespace": "team-a", "uid": "b", "resourceVersion": "1"}}
    router.changed("budgets", budget)
    assert waiting(router.api_keys) == {("team-a", "app")}
    router.changed("budgets", {"metadata": budget["metadata"] | {"resourceVersion": "2"}, "status": {"percent": 1}})
    assert waiting(router.api_keys) == set()
    router.deleted("budgets", budget)
    assert waiting(router.api_keys) == {("team-a", "app")}
    router.changed("budgets", {"metadata": budget["metadata"] | {"namespace": "team-b"}})
    assert waiting(router.api_keys) == set()


async def test_a_pool_and_a_node_bear_on_pools(router: Router) -> None:
    router.changed("gpupools", POOL)
    assert waiting(router.pools) == {"cpu"}
    router.changed("nodes", a_node())
    assert waiting(router.pools) == {"cpu"}
    router.changed("llmservices", SERVICE)
    assert waiting(router.pools) == set()


async def test_a_child_whose_label_is_edited_bears_on_both_services(router: Router) -> None:
    moved = child(SERVICE, "m-1")
    router.changed("services", moved)
    waiting(router.services)
    labels = {LABEL_SERVICE: "n"}
    router.changed("services", {**moved, "metadata": moved["metadata"] | {"labels": labels, "resourceVersion": "9"}})
    assert waiting(router.services) == {("team-a", "m"), ("team-a", "n")}


def handler(router: Router, plural: str) -> Any:
    """What kopf calls for an event of this kind."""
    found = registry(router, lambda plural, obj: shared_part_changed(router.store, plural, obj))
    return next(item.fn for item in found._watching._handlers if item.id == plural)


async def test_only_events_are_handled_and_children_by_label_only() -> None:
    found = registry(Router(Store(), _nobody(), _nobody(), _nobody()), lambda *_: True)
    assert {item.id for item in found._watching._handlers} == set(WATCHED)
    assert {item.id for item in found._watching._handlers if item.labels} == set(CHILDREN)
    for other in (found._changing, found._spawning, found._indexing):
        assert not list(other._handlers)  # they would write annotations or finalizers onto users' objects


async def test_events_reach_store_and_queue(router: Router) -> None:
    handle = handler(router, "llmservices")
    await handle(event={"type": None, "object": SERVICE}, body=None)
    assert router.store.get(service_ref()) is not None
    await handle(event={"type": "DELETED", "object": SERVICE})
    assert router.store.get(service_ref()) is None
    assert waiting(router.services) == {("team-a", "m")}


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({"status": {"conditions": ["heartbeat"]}}, False),
        ({"spec": {"unschedulable": True}}, True),
        ({"metadata": a_node(pool="gpu")["metadata"]}, True),
    ],
)
async def test_a_nodes_heartbeat_is_no_news(change: Json, news: bool, router: Router) -> None:
    handle = handler(router, "nodes")
    await handle(event={"type": "ADDED", "object": a_node()})
    router.store.put("llmservices", SERVICE)
    waiting(router.services)
    await handle(event={"type": "MODIFIED", "object": a_node() | change})
    assert bool(waiting(router.services)) is news


def test_kopf_never_gives_a_watch_up_and_posts_nothing() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    backoffs = iter(settings.networking.error_backoffs)  # type: ignore[arg-type]
    assert {next(backoffs) for _ in range(1000)} == {5.0}
    assert settings.process.ultimate_exiting_timeout == 20
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert not settings.scanning.disabled


def test_kopf_copies_no_object_to_compare_it() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    body = kopf.Body({"metadata": {"name": "m"}, "spec": {"model": {}}})
    assert settings.persistence.diffbase_storage.build(body=body, extra_fields=[]) == {}
    assert settings.persistence.diffbase_storage.fetch(body=body) is None


def test_kopf_reads_nothing_cluster_scoped_where_namespaces_are_named() -> None:
    settings = kopf.OperatorSettings()
    configure(settings, ("team-a",))
    assert settings.scanning.disabled
    found = registry(Router(Store(), _nobody(), _nobody(), _nobody()), lambda *_: True, watched(("team-a",)))
    assert {item.id for item in found._watching._handlers} == set(WATCHED) - set(SHARED)


@pytest.fixture
def cluster() -> MemoryCluster:
    found = MemoryCluster()
    found.put("llmservices", SERVICE)
    found.put("services", child(SERVICE, "m-1"))
    found.put("services", {"metadata": {"name": "stranger", "namespace": "team-a"}})
    return found


async def test_a_relist_finds_what_came_and_what_went(router: Router, cluster: MemoryCluster) -> None:
    lost = child(SERVICE, "m-lost")
    router.store.put("services", lost)
    served = await Relister(router.store, cluster, router, 300).relist()
    assert served == set(WATCHED)
    assert [ref.name for ref, _ in router.store.children("team-a", "m")] == ["m-1"]
    assert waiting(router.services) == {("team-a", "m")}
    await Relister(router.store, cluster, router, 300).relist()
    assert waiting(router.services) == set()


async def test_a_relist_after_heartbeats_of_nodes_has_no_news(router: Router, cluster: MemoryCluster) -> None:
    relister = Relister(router.store, cluster, router, 300)
    for name in ("n1", "n2"):
        cluster.put("nodes", a_node(name))
    await relister.relist()
    assert waiting(router.services) == {("team-a", "m")}
    for name in ("n1", "n2"):
        beaten = a_node(name)
        cluster.put("nodes", {**beaten, "metadata": beaten["metadata"] | {"resourceVersion": "9"}, "status": {"x": 1}})
    await relister.relist()
    assert waiting(router.services) == set()
    node = router.store.get(Ref("nodes", "", "n1"))
    assert node is not None
    assert node["metadata"]["resourceVersion"] == "9"
    del cluster.objects[Ref("nodes", "", "n2")]
    await relister.relist()
    assert waiting(router.services) == {("team-a", "m")}


async def test_a_child_that_a_relist_misses_bears_on_its_service_alone(router: Router, cluster: MemoryCluster) -> None:
    cluster.put("llmservices", AService("other").build())
    relister = Relister(router.store, cluster, router, 300)
    await relister.relist()
    waiting(router.services)
    del cluster.objects[Ref("services", "team-a", "m-1")]
    await relister.relist()
    assert waiting(router.services) == {("team-a", "m")}


async def test_whose_a_name_is_bears_on_all_that_have_it(router: Router) -> None:
    for name in ("m", "n", "o"):
        router.changed("llmservices", AService(name).model(name="x" if name != "o" else "y").build())
    waiting(router.services)
    renamed = AService("m").model(name="y").metadata(resourceVersion="7", generation=2).build()
    router.changed("llmservices", renamed)
    assert waiting(router.services) == {("team-a", "m"), ("team-a", "n"), ("team-a", "o")}
    router.deleted("llmservices", renamed)
    assert waiting(router.services) == {("team-a", "m"), ("team-a", "o")}


async def test_a_kind_that_is_not_installed_is_no_error(router: Router, cluster: MemoryCluster) -> None:
    cluster.refusals["list", "rayservices"] = ApiError(404, "NotFound", "no such kind")
    assert await Relister(router.store, cluster, router, 300).relist() == set(WATCHED) - {"rayservices"}


NAMED = ("team-a", "llmservice-system")


async def test_named_namespaces_are_all_that_is_listed(router: Router, cluster: MemoryCluster) -> None:
    cluster.put("llmservices", AService("other", "team-b").build())
    router.store.put("gpupools", POOL)
    for plural in SHARED:
        cluster.refusals["list", plural] = ApiError(403, "Forbidden", "no ClusterRole")
    assert await Relister(router.store, cluster, router, 300, NAMED).relist() == set(WATCHED) - set(SHARED)
    assert [item["metadata"]["name"] for item in router.store.of_kind("llmservices")] == ["m"]
    assert list(router.store.of_kind("gpupools")) == [POOL]


class Walled(MemoryCluster):
    """A cluster that refuses lists of some namespaces."""

    forbidden: tuple[str, ...] = ()

    async def pages(self, plural: str, label_selector: str = "", namespace: str = "") -> AsyncIterator[list[Json]]:
        if namespace in self.forbidden:
            raise ApiError(403, "Forbidden", "no Role")
        async for page in super().pages(plural, label_selector, namespace):
            yield page


async def test_a_namespace_that_may_not_be_read_stays_as_it_is_known_and_holds_no_other_up(
    router: Router, cluster: MemoryCluster
) -> None:
    walled = Walled(objects=cluster.objects)
    relister = Relister(router.store, walled, router, 300, ("team-a", "team-b"))
    walled.put("llmservices", AService("o", "team-b").build())
    await relister.relist()
    walled.forbidden = ("team-b",)
    walled.put("llmservices", AService("n", "team-a").build())
    await relister.relist()
    assert sorted(item["metadata"]["name"] for item in router.store.of_kind("llmservices")) == ["m", "n", "o"]
    walled.forbidden = ("team-a", "team-b")
    with pytest.raises(ApiError, match="Forbidden"):
        await relister.relist()


ERRORS = [
    ApiError(503, "x", "x"),
    TimeoutError(),
    ConnectionResetError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_failed_relist_is_tried_again(
    error: Exception,
    router: Router,
    cluster: MemoryCluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slept: list[float] = []
    done = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        cluster.refusals = {}
        await asyncio.Event().wait() if done.is_set() else None

    monkeypatch.setattr("llmservice_operator.relist.asyncio.sleep", sleep)
    cluster.refusals["list", "llmservices"] = error
    relister = Relister(router.store, cluster, router, 300)
    task = asyncio.create_task(relister.run(done.set))
    async with asyncio.timeout(1):
        waiter = asyncio.create_task(done.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    assert not task.done(), task.exception()
    assert slept[0] == 5.0
    assert [type(error).__name__ in line for line in caplog.messages] == [True]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_came_while_the_list_was_under_way_is_not_taken_for_gone(
    router: Router, cluster: MemoryCluster
) -> None:
    class Slow(MemoryCluster):
        async def pages(self, plural: str, label_selector: str = "", namespace: str = "") -> AsyncIterator[list[Json]]:
            async for page in super().pages(plural, label_selector, namespace):
                if plural == "llmservices":  # a watch is quicker than the answer to the list
                    router.changed("llmservices", AService("new").metadata(resourceVersion="999").build())
                yield page

    slow = Slow(objects=cluster.objects)
    await Relister(router.store, slow, router, 300).relist()
    assert router.store.get(Ref("llmservices", "team-a", "new")) is not None


async def test_kopf_keeps_nothing_of_what_it_has_seen() -> None:
    memories = NothingRemembered()
    body: Any = {"metadata": {"uid": "u"}}
    assert await memories.recall(body, noticed_by_listing=True) is not await memories.recall(body)
    assert list(memories.iter_all_memories()) == []
