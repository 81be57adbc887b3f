"""The real client against an apiserver that lists, watches, refuses and breaks off as the test says."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes import client

from llmservice_gateway.kube import KubernetesSource, ThreadEnded
from llmservice_gateway.source import Event, Gone, Listed, Put
from tests.eventually import eventually
from tests.integration.gateway_stack import free_ports
from tests.unit.gateway.builders import llmservice

PATH = "/apis/llmservice.io/v1alpha1/{kind}"
NAMED = "/apis/llmservice.io/v1alpha1/namespaces/{namespace}/{kind}"


class Apiserver:
    """Answers each list from `lists` (an int: that status) and each watch from `watches`, in order; then it waits."""

    def __init__(self) -> None:
        self.lists: asyncio.Queue[dict[str, Any] | int] = asyncio.Queue()
        self.watches: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self.asked: list[dict[str, str]] = []
        self.forbidden: set[str] = set()
        self.is_ending = False
        self.port = free_ports(1)[0]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.is_ending:
            ended = web.Response(status=503)
            ended.force_close()
            return ended
        if request.match_info.get("namespace") in self.forbidden:
            return web.Response(status=403)
        if request.match_info["kind"] == "apikeys":
            return web.json_response(page([])) if "watch" not in request.query else await self._silence()
        self.asked.append(dict(request.query))
        if "watch" in request.query:
            return await self._watch(request)
        answer = await self.lists.get()
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for each in await self.watches.get():
            text = json.dumps(each).encode() + b"\n"
            await response.write(text[:20])
            await response.write(text[20:])
        return response

    async def _silence(self) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError


def page(objects: list[Any], token: str | None = None) -> dict[str, Any]:
    return {"items": objects, "metadata": {"resourceVersion": "7", **({"continue": token} if token else {})}}


def happened(what: str, raw: Any) -> dict[str, Any]:
    return {"type": what, "object": raw}


@asynccontextmanager
async def following(server: Apiserver, *namespaces: str) -> AsyncIterator[tuple[AsyncIterator[Event], list[int]]]:
    app = web.Application()
    app.router.add_get(PATH, server.answer)
    app.router.add_get(NAMED, server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    failures: list[int] = []
    settings = client.Configuration(host=f"http://127.0.0.1:{server.port}")
    settings.retries = False
    with client.ApiClient(settings) as api:
        objects = client.CustomObjectsApi(api)
        source = KubernetesSource(objects, 300, lambda: failures.append(1), (0.01, 0.05), namespaces=namespaces)
        events = source.events()
        try:
            yield _of_services(events), failures
        finally:
            await events.aclose()  # type: ignore[attr-defined]
            await _threads_ended(server, runner)
            await runner.cleanup()


async def _threads_ended(server: Apiserver, runner: web.AppRunner) -> None:
    """Whatever they wait for; one that asked in the meantime is refused. Else a connection would come to no server."""
    server.is_ending = True
    assert runner.server is not None
    for connection in runner.server.connections:
        if connection.transport is not None:
            connection.transport.abort()
    kinds = ("llmservices", "apikeys")
    await eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith(kinds)])


async def _of_services(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    async for event in events:
        if event.kind == "llmservices":
            yield event


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


async def test_pages_are_one_list_and_changes_follow_in_order() -> None:
    server = Apiserver()
    a, b = llmservice("a"), llmservice("b")
    server.lists.put_nowait(page([a], token="next"))
    server.lists.put_nowait(page([b]))
    bookmark = happened("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    server.watches.put_nowait([happened("ADDED", a), bookmark, happened("MODIFIED", b), happened("DELETED", a)])
    async with following(server) as (events, _):
        assert await take(events, 4) == [
            Listed("llmservices", [a, b]),
            Put("llmservices", a),
            Put("llmservices", b),
            Gone("llmservices", a),
        ]
    assert server.asked[1]["continue"] == "next"
    assert (server.asked[2]["resourceVersion"], server.asked[2]["timeoutSeconds"]) == ("7", "300")


@pytest.mark.parametrize("refusal", [403, 404, 429, 500, 503])
async def test_refusals_are_tried_again_for_ever(refusal: int) -> None:
    server = Apiserver()
    for _ in range(8):
        server.lists.put_nowait(refusal)
    server.lists.put_nowait(page([]))
    async with following(server) as (events, failures):
        assert await take(events, 1) == [Listed("llmservices", [])]
        assert len(failures) == 8


async def test_what_nobody_foresaw_ends_the_source_instead_of_its_news() -> None:
    server = Apiserver()
    server.lists.put_nowait({"items": []})
    async with following(server) as (events, _):
        with pytest.raises(ThreadEnded, match="llmservices"):
            await take(events, 1)


@pytest.mark.parametrize(
    "watch",
    [
        pytest.param([{"type": "ERROR", "object": {"code": 410, "message": "too old"}}], id="410"),
        pytest.param([{"type": "ERROR", "object": {"code": 500}}], id="another error"),
        pytest.param([], id="an early end"),
    ],
)
async def test_a_lost_watch_lists_anew(watch: list[dict[str, Any]]) -> None:
    server = Apiserver()
    server.lists.put_nowait(page([llmservice("a")]))
    server.watches.put_nowait(watch)
    server.lists.put_nowait(page([]))
    async with following(server) as (events, _):
        assert await take(events, 2) == [Listed("llmservices", [llmservice("a")]), Listed("llmservices", [])]


async def test_a_namespace_that_may_not_be_read_holds_no_other_up_and_comes_when_it_may() -> None:
    server = Apiserver()
    server.forbidden = {"b"}
    server.lists.put_nowait(page([llmservice("a")]))
    async with following(server, "a", "b") as (events, failures):
        assert await take(events, 1) == [Listed("llmservices", [llmservice("a")])]
        assert failures
        server.lists.put_nowait(page([llmservice("b")]))
        server.forbidden = set()
        assert await take(events, 1) == [Listed("llmservices", [llmservice("a"), llmservice("b")])]
