"""Real requests, and when an answer proves an engine."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from llmservice_api.names import ADDRESS_HEADER
from llmservice_operator.observed import Probe, Question
from llmservice_operator.probe import HttpProber, judge

TOKEN = {"usage": {"completion_tokens": 1}}
JUDGED: list[tuple[int, bytes, str]] = [
    (200, json.dumps(TOKEN).encode(), ""),
    (200, b'{"usage": {"completion_tokens": 0}}', "HTTP 200, but nothing was generated"),
    (200, b'{"usage": null}', "HTTP 200, but nothing was generated"),
    (200, b"<html>", "HTTP 200, but nothing was generated"),
    (200, b"[]", "HTTP 200, but nothing was generated"),
    (404, b'{"error": {"message": "no such model"}}', "HTTP 404: no such model"),
    (500, b'{"error": "x"}', 'HTTP 500: {"error": "x"}'),
    (502, b"\xff" * 500, "HTTP 502: " + "\ufffd" * 200),
]


@asynccontextmanager
async def served(route: web.RouteDef) -> AsyncIterator[tuple[HttpProber, str, Callable[[], Awaitable[None]]]]:
    """A prober, the address of a server with that route (of the gateway too), and how it stops to listen."""
    app = web.Application()
    app.add_routes([route])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession() as session:
            yield HttpProber(session, "llms_probe.x", f"http://{address}"), address, runner.cleanup
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("status", "answer", "error"), JUDGED)
def test_judge(status: int, answer: bytes, error: str) -> None:
    assert judge(status, answer, Question("m")).error == error


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({"engine": {"state": "Restarting", "reason": "exit code -9"}}, "exit code -9"),
        ({"engine": {"state": "Ready", "reason": "exit code -9"}}, ""),
        ({"engine": "x"}, ""),
        ({}, ""),
    ],
)
async def test_a_replica_is_asked_why_it_has_no_engine(said: dict[str, Any], cause: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(said)

    async with served(web.get("/state", answer)) as (prober, address, stop):
        assert await prober.cause(address) == cause
        await stop()
        assert await prober.cause(address) == ""


async def test_replicas_are_asked_a_few_at_once_whatever_they_are_asked() -> None:
    under_way, most, four, go_on = 0, 0, asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 4:
            four.set()
        await go_on.wait()
        under_way -= 1
        return web.json_response({})

    async with served(web.get("/{path}", answer)) as (prober, address, _):
        asked = [asyncio.ensure_future(ask(address)) for ask in (prober.progress, prober.cause, prober.adapters) * 3]
        await asyncio.wait_for(four.wait(), 10)
        go_on.set()
        await asyncio.gather(*asked)
    assert most == 4


class Silent:
    """A server that answers nobody but those whom it is told to, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: set[str] = set()
        self.never, self.eight = asyncio.Event(), asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if len(self.asked) == 8:
            self.eight.set()
        if not any(request.path.startswith(f"/team-a/{name}/") for name in self.answers):
            await self.never.wait()
        return web.json_response(TOKEN, headers={ADDRESS_HEADER: "here"})


async def test_engines_that_hang_take_no_turn_from_one_that_was_not_asked_yet() -> None:
    server, hung = Silent(), [f"hung-{number}" for number in range(4)]
    async with served(web.post("/{path:.*}", server.handle)) as (prober, _, _):

        async def ask(name: str, patience_s: float) -> Probe:
            return await prober.route("team-a", name, Question("m", patience_s=patience_s), "here")

        first = await asyncio.gather(*(ask(name, 0.2) for name in hung))
        assert {probe.error for probe in first} == {"TimeoutError"}
        again = [asyncio.ensure_future(ask(name, 60)) for name in hung]
        await asyncio.wait_for(server.eight.wait(), 10)
        server.answers.add("new")
        assert (await ask("new", 60)).answered
        assert await ask(hung[0], 60) == first[0], "it is not asked a third time, and says what it said"
        assert len(server.asked) == 9
        server.never.set()
        assert all(probe.answered for probe in await asyncio.gather(*again))
        assert (await ask(hung[0], 60)).answered


async def test_pods_that_hang_hold_nobody_for_longer_than_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmservice_operator.probe._CONNECT_S", 0.2)
    under_way, never = 0, asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        nonlocal under_way
        if request.path == "/state":
            under_way += 1
            await never.wait()
        return web.json_response({"phase": "Downloading"})

    async with served(web.get("/{path}", answer)) as (prober, address, _):
        assert await asyncio.gather(*(prober.replica(address) for _ in range(40))) == [None] * 40
        assert under_way == 4, "the others' time was over before their turn came"
        assert await prober.progress(address) == {"phase": "Downloading"}
        never.set()


MANY = [{"name": f"a{number}", "state": "Failed", "message": "x" * 1024} for number in range(64)]


@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        (200, {"adapters": MANY}, MANY),
        (200, {"adapters": [{"name": "a"}, 7, None]}, [{"name": "a"}]),
        (200, {"adapters": []}, []),
        (200, {"adapters": "x"}, None),
        (200, {}, None),
        (200, ["x"], None),
        (503, {"adapters": MANY}, None),
    ],
)
async def test_a_replica_tells_of_its_adapters(status: int, state: Any, told: list[Any] | None) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(state, status=status)

    async with served(web.get("/state", answer)) as (prober, address, stop):
        assert await prober.adapters(address) == told
        await stop()
        assert await prober.adapters(address) is None


async def test_probes_ask_for_one_token_on_both_ways() -> None:
    seen: list[tuple[str, str, Any]] = []
    billed: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        billed.append(request.headers["x-llmservice-key-id"])
        seen.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response(TOKEN, headers={ADDRESS_HEADER: "10.96.0.9:8000"})

    async with served(web.post("/{tail:.*}", answer)) as (prober, address, stop):
        assert (await prober.engine(address, Question("m"))).answered
        assert (await prober.route("team-a", "m", Question("qwen"), "10.96.0.9:8000")).answered
        assert not (await prober.route("team-a", "m", Question("qwen"), "10.96.0.7:8000")).answered, (
            "another revision's token"
        )
        await stop()
        assert not (await prober.engine(address, Question("m"))).answered
    assert [(path, key) for path, key, _ in seen] == [
        ("/v1/completions", "Bearer llms_probe.x"),
        ("/team-a/m/v1/completions", "Bearer llms_probe.x"),
        ("/team-a/m/v1/completions", "Bearer llms_probe.x"),
    ]
    assert [(body["model"], body["max_tokens"]) for *_, body in seen] == [("m", 1), ("qwen", 1), ("qwen", 1)]
    assert billed == ["probe"] * 3


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (200, '{"phase": "Downloading", "percent": 3}', {"phase": "Downloading", "percent": 3}),
        (200, "<html>", {}),
        (404, "{}", None),
    ],
)
async def test_a_pod_is_asked_how_far_its_download_is(status: int, said: str, told: dict[str, Any] | None) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=said)

    async with served(web.get("/progress", answer)) as (prober, address, stop):
        assert await prober.progress(address) == told
        await stop()
        assert await prober.progress(address) is None
