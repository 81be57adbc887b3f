"""The side port: one scrape, what providers say at the moment, and a port that is taken at first."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from llmservice_api.names import REPLICA_PORT
from llmservice_worker import ports
from llmservice_worker.side import SidePort

LOCAL = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((LOCAL, 0)) as taken:
        return int(taken.getsockname()[1])


@asynccontextmanager
async def serving(providers: dict[str, Callable[[], Any]], registry: CollectorRegistry) -> AsyncIterator[str]:
    side, port = SidePort(providers, registry), free_port()
    await side.start(port, LOCAL)
    try:
        yield f"http://{LOCAL}:{port}"
    finally:
        await side.stop()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def status_once_open(url: str) -> int:
    while True:
        try:
            return (await get(url))[0]
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.01)


def test_the_port_is_the_one_that_the_operator_asks() -> None:
    assert ports.SIDE == REPLICA_PORT


async def test_what_a_provider_is_awaited_for_stands_beside_the_others() -> None:
    async def asked() -> dict[str, int]:
        await asyncio.sleep(0)
        return {"to": 2}

    async with serving({"scaling": asked, "engine": lambda: "Ready"}, CollectorRegistry()) as url:
        status, text = await get(f"{url}/state")
    assert (status, json.loads(text)) == (200, {"scaling": {"to": 2}, "engine": "Ready"})


async def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("vllm:prompt_tokens", "Tokens.", registry=registry).inc(3)
    async with serving({}, registry) as url:
        status, text = await get(f"{url}/metrics")
    assert status == 200
    assert "vllm:prompt_tokens_total 3.0" in text


async def test_state_is_asked_anew_each_time_and_of_providers_added_later() -> None:
    adapters: list[dict[str, str]] = []
    providers: dict[str, Callable[[], Any]] = {"adapters": lambda: adapters}
    async with serving(providers, CollectorRegistry()) as url:
        before = await get(f"{url}/state")
        adapters.append({"name": "tone", "state": "Loaded"})
        providers["engine"] = lambda: "starting"
        after = await get(f"{url}/state")
    assert before == (200, '{"adapters": []}')
    assert after == (200, '{"adapters": [{"name": "tone", "state": "Loaded"}], "engine": "starting"}')


@pytest.mark.parametrize("path", ["/", "/v1/models", "/metrics/x"])
async def test_nothing_else_is_there(path: str) -> None:
    async with serving({}, CollectorRegistry()) as url:
        status, _ = await get(url + path)
    assert status == 404


async def test_a_port_in_use_is_said_and_taken_once_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    side = SidePort({}, CollectorRegistry(), retry=0.01)
    with socket.create_server((LOCAL, 0)) as taken:
        port = int(taken.getsockname()[1])
        await side.start(port, LOCAL)
    try:
        async with asyncio.timeout(10):
            status = await status_once_open(f"http://{LOCAL}:{port}/metrics")
    finally:
        await side.stop()
    assert status == 200
    assert f"the side port {port} (metrics, state) cannot be opened: " in caplog.text


async def test_stopping_gives_up_on_a_port_that_stays_taken() -> None:
    side = SidePort({}, CollectorRegistry(), retry=60)
    with socket.create_server((LOCAL, 0)) as taken:
        port = int(taken.getsockname()[1])
        await side.start(port, LOCAL)
        async with asyncio.timeout(10):
            await side.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(f"http://{LOCAL}:{port}/metrics")


async def test_readiness_is_asked_anew_each_time() -> None:
    ready = [False]
    side, port = SidePort({}, CollectorRegistry(), is_ready=lambda: ready[0]), free_port()
    await side.start(port, LOCAL)
    before, _ = await get(f"http://{LOCAL}:{port}/ready")
    ready[0] = True
    after, _ = await get(f"http://{LOCAL}:{port}/ready")
    await side.stop()
    assert (before, after) == (503, 200)


@pytest.mark.parametrize(("proxy_status", "ready"), [(200, 200), (503, 503), (None, 503)])
async def test_a_replica_is_not_ready_without_a_proxy_that_leads_to_it(proxy_status: int | None, ready: int) -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=proxy_status or 200)

    app = web.Application()
    app.router.add_get("/-/healthz", healthz)
    runner, proxy_port = web.AppRunner(app), free_port()
    await runner.setup()
    if proxy_status is not None:
        await web.TCPSite(runner, LOCAL, proxy_port).start()
    side, port = SidePort({}, CollectorRegistry(), proxy=f"http://{LOCAL}:{proxy_port}/-/healthz"), free_port()
    await side.start(port, LOCAL)
    status, _ = await get(f"http://{LOCAL}:{port}/ready")
    await side.stop()
    await runner.cleanup()
    assert status == ready
