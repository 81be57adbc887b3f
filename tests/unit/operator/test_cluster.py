"""Requests to the API server as it sees them, and what its answers become."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from llmservice_operator.cluster import Access, ApiError, Cluster, connect

Json = dict[str, Any]


@dataclass
class ApiServer:
    """Answers what the test says, and keeps what it was asked."""

    answer: tuple[int, str] | None = None
    seen: list[tuple[str, str, str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        text = await request.text()
        self.seen.append((request.method, request.path_qs, request.content_type, json.loads(text) if text else None))
        self.headers.append(request.headers.get("Authorization", ""))
        if self.answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status, text = self.answer
        return web.Response(status=status, text=text)

    def says(self, status: int, body: Any) -> None:
        """The next answer."""
        self.answer = (status, body if isinstance(body, str) else json.dumps(body))


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@asynccontextmanager
async def serving(server: ApiServer) -> AsyncIterator[Access]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tokens = iter(f"Bearer {number}" for number in range(100))
    yield Access(f"http://127.0.0.1:{port}", ssl.create_default_context(), lambda: {"Authorization": next(tokens)})
    await runner.cleanup()


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[Cluster]:
    async with serving(server) as access, connect(access) as found:
        yield found


OBJECT = {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"a": 1}}
OPTIONS = {"preconditions": {"uid": "u"}, "propagationPolicy": "Background"}
APPLY = "application/apply-patch+yaml"
STATUS = {
    "apiVersion": "llmservice.io/v1alpha1",
    "kind": "LLMService",
    "metadata": {"name": "x", "namespace": "ns"},
    "status": {"url": "u"},
}
BY_US = "fieldManager=llmservice-operator"
REQUESTS: dict[str, tuple[Callable[[Cluster], Awaitable[Any]], tuple[str, str, str, Any]]] = {
    "apply": (
        lambda c: c.apply("services", OBJECT, force=False),
        ("PATCH", f"/api/v1/namespaces/ns/services/x?{BY_US}&force=false", APPLY, OBJECT),
    ),
    "on trial": (
        lambda c: c.apply("secrets", OBJECT, force=True, trial=True),
        ("PATCH", f"/api/v1/namespaces/ns/secrets/x?{BY_US}&force=true&dryRun=All", APPLY, OBJECT),
    ),
    "metadata, by an empty patch": (
        lambda c: c.metadata("secrets", "ns", "x"),
        ("PATCH", "/api/v1/namespaces/ns/secrets/x", "application/merge-patch+json", {}),
    ),
    "forced": (
        lambda c: c.apply("rayservices", OBJECT, force=True),
        ("PATCH", f"/apis/ray.io/v1/namespaces/ns/rayservices/x?{BY_US}&force=true", APPLY, OBJECT),
    ),
    "status": (
        lambda c: c.apply_status("llmservices", "ns", "x", {"url": "u"}),
        (
            "PATCH",
            f"/apis/llmservice.io/v1alpha1/namespaces/ns/llmservices/x/status?{BY_US}&force=true",
            APPLY,
            STATUS,
        ),
    ),
    "status of a cluster-scoped object": (
        lambda c: c.apply_status("gpupools", "", "x", {"url": "u"}),
        (
            "PATCH",
            f"/apis/llmservice.io/v1alpha1/gpupools/x/status?{BY_US}&force=true",
            APPLY,
            STATUS | {"kind": "GPUPool", "metadata": {"name": "x"}},
        ),
    ),
    "delete": (
        lambda c: c.delete("services", "ns", "x", "u"),
        ("DELETE", "/api/v1/namespaces/ns/services/x", "application/json", OPTIONS),
    ),
    "get": (
        lambda c: c.get("nodes", "", "n"),
        ("GET", "/api/v1/nodes/n", "application/json", None),
    ),
    "event": (
        lambda c: c.create_event(OBJECT),
        ("POST", "/api/v1/namespaces/ns/events", "application/json", OBJECT),
    ),
}


@pytest.mark.parametrize(("call", "seen"), REQUESTS.values(), ids=REQUESTS)
async def test_what_is_sent(
    call: Callable[[Cluster], Awaitable[Any]], seen: tuple[str, str, str, Any], cluster: Cluster, server: ApiServer
) -> None:
    server.says(200, {"metadata": {}})
    await call(cluster)
    assert server.seen == [seen]


async def test_a_list_comes_in_pages_and_gives_each_item_its_kind(cluster: Cluster, server: ApiServer) -> None:
    page = {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}}]}
    server.says(200, page | {"metadata": {"continue": "more"}})
    found = []
    async for items in cluster.pages("pods", "llmservice.io/service", "ns"):
        found += items
        server.says(200, page | {"metadata": {"continue": ""}})
    assert found == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}] * 2
    asked = "/api/v1/namespaces/ns/pods?labelSelector=llmservice.io/service&limit=250"
    assert [seen[1] for seen in server.seen] == [asked, f"{asked}&continue=more"]


async def test_credentials_are_asked_for_before_each_request(cluster: Cluster, server: ApiServer) -> None:
    server.says(200, {})
    for _ in range(2):
        await cluster.get("nodes", "", "n")
    assert server.headers == ["Bearer 0", "Bearer 1"]


ANSWERS: dict[str, tuple[int, Any, int, str, str]] = {
    "conflict": (409, {"reason": "Conflict", "message": "not yours"}, 409, "Conflict", "not yours"),
    "not found": (404, {"reason": "NotFound", "message": "gone"}, 404, "NotFound", "gone"),
    "a text": (502, "<html>bad gateway</html>", 502, "Unknown", "<html>bad gateway</html>"),
    "JSON, but no object": (500, "[1]", 500, "Unknown", "[1]"),
    "no reason given": (500, {}, 500, "Unknown", "{}"),
    "success that is no JSON": (200, "<html>login</html>", 502, "Unknown", "<html>login</html>"),
    "success that is no object": (200, "[]", 502, "Unknown", "[]"),
}


@pytest.mark.parametrize(("status", "body", "code", "reason", "message"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_no_success(
    status: int, body: Any, code: int, reason: str, message: str, cluster: Cluster, server: ApiServer
) -> None:
    server.says(status, body)
    with pytest.raises(ApiError) as caught:
        await cluster.apply("services", OBJECT, force=False)
    assert (caught.value.status, caught.value.reason) == (code, reason)
    if body != {}:
        assert caught.value.message == message


async def test_a_connection_that_breaks_is_an_error_to_retry(cluster: Cluster) -> None:
    with pytest.raises(ApiError) as caught:
        await cluster.apply("services", OBJECT, force=False)
    assert (caught.value.status, caught.value.reason) == (503, "Unreachable")


async def test_get_of_nothing(cluster: Cluster, server: ApiServer) -> None:
    server.says(404, {"reason": "NotFound"})
    assert await cluster.get("nodes", "", "n") is None
    server.says(403, {"reason": "Forbidden"})
    with pytest.raises(ApiError):
        await cluster.get("nodes", "", "n")


@pytest.mark.parametrize("status", [404, 409])
async def test_delete_of_what_is_gone_or_another_by_now(status: int, cluster: Cluster, server: ApiServer) -> None:
    server.says(status, {})
    await cluster.delete("services", "ns", "x", "u")


async def test_delete_that_is_forbidden(cluster: Cluster, server: ApiServer) -> None:
    server.says(403, {})
    with pytest.raises(ApiError):
        await cluster.delete("services", "ns", "x", "u")


async def test_a_write_is_not_sent_where_writing_is_forbidden_at_its_last_moment(server: ApiServer) -> None:
    asked: list[str] = []

    def may_write() -> None:
        asked.append("write")
        if len(asked) > 1:
            raise LookupError("another leads")

    async with serving(server) as access, connect(access, may_write=may_write) as cluster:
        server.says(200, {"kind": "Service"})
        await cluster.apply("services", OBJECT, force=True)
        for write in (
            cluster.apply("services", OBJECT, force=True),
            cluster.apply_status("llmservices", "ns", "x", {}),
            cluster.delete("services", "ns", "x", "u"),
            cluster.create("leases", OBJECT),
            cluster.replace("leases", OBJECT),
            cluster.create_event(OBJECT),
        ):
            with pytest.raises(LookupError):
                await write
        await cluster.get("services", "ns", "x")
    assert [method for method, *_ in server.seen] == ["PATCH", "GET"]
    assert len(asked) == 7


async def test_what_was_granted_and_what_was_refused_is_told_by_resource_and_verb(server: ApiServer) -> None:
    told: list[tuple[str, str, str]] = []
    async with (
        serving(server) as access,
        connect(access, on_answer=lambda *answer: told.append(answer)) as cluster,
    ):
        server.says(200, {"kind": "Service"})
        await cluster.apply_status("llmservices", "ns", "x", {})
        server.says(409, {"reason": "Conflict", "message": "m"})
        with pytest.raises(ApiError):
            await cluster.apply("services", OBJECT, force=False)
        server.answer = None
        with pytest.raises(ApiError):
            await cluster.get("pods", "ns", "x")
    assert told == [
        ("llmservices/status", "patch", ""),
        ("services", "patch", "Conflict"),
        ("pods", "get", "Unreachable"),
    ]
