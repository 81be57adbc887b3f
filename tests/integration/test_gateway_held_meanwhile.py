"""What happens to a request while it is held: its client leaves, its key or its model goes, its budget is spent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, free_ports, running
from tests.integration.holding import CHAT, KEY, LIST, Asking, cold, held, up
from tests.unit.gateway.builders import apikey, llmservice, secret_key

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running(waiting_interval=1) as stack:
        await stack.put("apikeys", apikey(1), apikey(2, models=["m"]))
        yield stack


@pytest.fixture
def asking(stack: Stack) -> Asking:
    return Asking(stack)


async def test_clients_that_leave_free_their_places(stack: Stack, asking: Asking) -> None:
    await stack.put("llmservices", cold(hold=(3, 60)))
    asking.ask(3)
    await held(stack, 3)
    for task in asking.tasks:
        task.cancel()
    await held(stack, 0)
    assert stack.figure("llmservice_gateway_held_total", outcome="left") == 3
    again = Asking(stack)
    again.ask(3)
    await held(stack, 3)
    await stack.put("llmservices", up(stack))
    assert await again.statuses() == [200] * 3
    assert len(stack.upstream.seen) == 3


async def test_who_loses_the_key_or_the_model_meanwhile_is_told_so(stack: Stack) -> None:
    await stack.put("llmservices", cold())
    revoked, open_, gone = Asking(stack), Asking(stack), Asking(stack)
    revoked.ask(1, key=LIST)
    await held(stack, 1)
    await stack.put("llmservices", llmservice("o", mode="Open", hold=(5, 60)), llmservice("g", hold=(5, 60)))
    open_.ask(1, path="/team-a/o/v1/completions", key="")
    gone.ask(1, model="g")
    await held(stack, 3)
    await stack.delete("apikeys", apikey(2))
    await stack.delete("llmservices", llmservice("g"))
    here = stack.upstream.address
    await stack.put("llmservices", up(stack), llmservice("o", mode="Open", hold=(5, 60), address=here))
    assert await revoked.statuses() == [401]
    assert await gone.statuses() == [404]
    assert await open_.statuses() == [200]
    assert [path for path, _, _ in stack.upstream.seen] == ["/v1/completions"]


async def test_who_lost_the_model_from_its_list_meanwhile_is_told_so(stack: Stack) -> None:
    await stack.put("llmservices", cold(adapters=["legal"]))
    await stack.put("apikeys", apikey(3, models=["legal"]))
    lost, kept = Asking(stack), Asking(stack)
    lost.ask(1, key=LIST)
    lost.ask(1, key=LIST, path="/team-a/m/v1/completions")
    kept.ask(1, model="legal", key=secret_key(3))
    kept.ask(1, path="/v1/engines/legal/completions", model="other", key=secret_key(3))
    await held(stack, 4)
    await stack.put("apikeys", apikey(2, models=["other"]))
    await stack.put("llmservices", up(stack, adapters=["legal"]))
    assert await lost.statuses() == [404, 404]
    assert await kept.statuses() == [200, 200]
    assert len(stack.upstream.seen) == 2


async def test_whose_budget_was_spent_meanwhile_is_told_so(tmp_path: Path) -> None:
    said: dict[str, Any] = {"version": 1, "keys": {}, "blocks": {}}

    async def sync(_: web.Request) -> web.Response:
        return web.json_response(said)

    ledger = web.Application()
    ledger.router.add_post("/v1/sync", sync)
    token = tmp_path / "token"
    token.write_text("t")
    async with serving(ledger) as url, running(ledger_url=url, ledger_token=token) as stack:
        await stack.put("apikeys", apikey(1), apikey(2))
        await stack.put("llmservices", cold(), llmservice("live", address=stack.upstream.address))
        spent, other = Asking(stack), Asking(stack)
        spent.ask(1)
        other.ask(1, key=LIST)
        await held(stack, 2)
        said |= {"version": 2, "blocks": {f"{1:016x}": {"until": 2**43, "budget": "team"}}}

        async def is_told() -> bool:
            return (await stack.post(CHAT, {"model": "live"}, KEY)).status == 429

        await eventually(is_told)
        stack.upstream.seen.clear()
        await stack.put("llmservices", up(stack))
        assert await other.statuses() == [200]
        refused = await spent.tasks[0]
        assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
        assert "`team`" in refused.error["message"]
        assert (refused.headers["Retry-After"], refused.headers["x-should-retry"]) == ("86400", "false")
        assert len(stack.upstream.seen) == 1


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The application's URL."""
    runner, port = web.AppRunner(app), free_ports(1)[0]
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
