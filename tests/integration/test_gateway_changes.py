"""New models and keys work, and old ones stop working, while the gateway runs on."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import openai
import pytest
from aiohttp import web

from llmservice_gateway.runtime import RuntimeSocket
from llmservice_gateway.source import Listed
from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, completion, event, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY = secret_key(1)
CHAT = "/v1/chat/completions"
HI: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running(resync_interval=1) as stack:
        yield stack


async def test_a_key_works_from_its_making_to_its_deletion(stack: Stack) -> None:
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 401
    await stack.put("apikeys", apikey(1))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 200
    await stack.delete("apikeys", apikey(1))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 401


async def test_a_rotated_key_replaces_the_old_one(stack: Stack) -> None:
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    new = secret_key(1, "n" * 43)
    await stack.put("apikeys", apikey(1), apikey(1, key=new))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 401
    assert (await stack.post(CHAT, {"model": "llama"}, new)).status == 200


async def test_a_key_dies_at_its_instant_without_any_event(stack: Stack) -> None:
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    await stack.put("apikeys", apikey(1))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 200
    end = datetime.now(UTC) + timedelta(seconds=1)
    await stack.put("apikeys", apikey(1, expires=end.isoformat()))

    async def ended() -> bool:
        status = (await stack.post(CHAT, {"model": "llama"}, KEY)).status
        assert status == 200 or datetime.now(UTC) >= end
        return status == 401

    await eventually(ended, every=0.02)


async def test_a_model_works_from_its_address_to_its_deletion(stack: Stack) -> None:
    await stack.put("apikeys", apikey(1))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 404
    await stack.put("llmservices", llmservice("llama"))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 503
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address, aliases=["gpt"]))
    assert (await stack.post(CHAT, {"model": "gpt"}, KEY)).status == 200
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    assert (await stack.post(CHAT, {"model": "gpt"}, KEY)).status == 404
    await stack.delete("llmservices", llmservice("llama"))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 404


async def test_a_rollout_moves_the_route_and_loses_nothing(stack: Stack) -> None:
    await stack.put("apikeys", apikey(1))
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    moving, answers = True, []

    async def keep_asking() -> None:
        while moving:
            answers.append((await stack.post(CHAT, {"model": "llama"}, KEY)).status)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(keep_asking())
        for turn in range(50):
            address = ("127.0.0.1", "127.0.0.2")[turn % 2]
            await stack.put("llmservices", llmservice("llama", address=f"{address}:{stack.upstream.port}"))
        moving = False
    assert set(answers) == {200}


async def test_a_relist_removes_what_is_gone(stack: Stack) -> None:
    await stack.put("apikeys", apikey(1))
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    await stack.happen(Listed("apikeys", [apikey(2)]))
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 401
    assert (await stack.post(CHAT, {"model": "llama"}, secret_key(2))).status == 200


async def test_what_somebody_else_did_to_the_maps_is_put_right(stack: Stack) -> None:
    await stack.put("apikeys", apikey(1))
    await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
    store = RuntimeSocket(stack.settings.socket, stack.settings.maps)
    before = await store.read()
    await store._ask(f"clear map {stack.settings.maps}/keys.map;add map {stack.settings.maps}/hosts.map h team-a/x")
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 401

    async def put_right() -> bool:
        return await store.read() == before

    await eventually(put_right, within=5, every=0.05)
    assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 200


async def test_a_thousand_models_and_keys(stack: Stack) -> None:
    services = [llmservice(f"m{n}", address=stack.upstream.address) for n in range(1000)]
    await stack.happen(Listed("llmservices", services))
    await stack.happen(Listed("apikeys", [apikey(n) for n in range(1000)]))
    assert (await stack.post(CHAT, {"model": "m999"}, secret_key(999))).status == 200


async def test_nobody_is_answered_before_the_first_synchronisation() -> None:
    async with running(listed=False) as stack:
        ready = f"http://127.0.0.1:{stack.settings.agent_port}/readyz"
        answer = await stack.post(CHAT, {"model": "llama"}, KEY)
        assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
        async with stack.http.get(ready) as health:
            assert health.status == 503
        stack.source.queue.put_nowait(Listed("apikeys", []))
        stack.source.queue.put_nowait(Listed("llmservices", []))
        await eventually(lambda: stack.agent.ready)
        async with stack.http.get(ready) as health:
            assert health.status == 200
        assert (await stack.post(CHAT, {"model": "llama"}, KEY)).status == 401


async def test_the_gateway_ends_with_its_haproxy(stack: Stack) -> None:
    store = RuntimeSocket(stack.settings.socket, stack.settings.maps)
    info = await store._ask("show info")
    pid = next(int(line.split()[1]) for line in info.splitlines() if line.startswith("Pid:"))
    process = await asyncio.create_subprocess_exec("kill", "-9", str(pid))
    await process.wait()
    await eventually(stack.run.done)
    assert stack.run.result() == 1


async def test_figures_of_both(stack: Stack) -> None:
    await stack.put("llmservices", llmservice("a"), llmservice("b", address=stack.upstream.address))
    await stack.put("apikeys", apikey(1))
    await stack.post(CHAT, {"model": "b"}, KEY)
    async with stack.http.get(f"http://127.0.0.1:{stack.settings.agent_port}/metrics") as response:
        text = await response.text()
    assert 'llmservice_gateway_routes{ready="true"} 1.0' in text
    assert "llmservice_gateway_keys 1.0" in text
    async with stack.http.get(f"http://127.0.0.1:{stack.settings.metrics_port}/metrics") as response:
        assert 'haproxy_backend_http_responses_total{proxy="model",code="2xx"} 1' in await response.text()
    async with stack.http.get(f"http://127.0.0.1:{stack.settings.metrics_port}/") as response:
        assert response.status == 404


async def test_the_openai_client(stack: Stack) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if not json.loads(await request.read()).get("stream"):
            return web.json_response(completion())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for text in ("Par", "is"):
            await response.write(event(text))
        await response.write(b"data: [DONE]\n\n")
        return response

    stack.upstream.handler = answer
    await stack.put("llmservices", llmservice("llama", model="org/llama", address=stack.upstream.address))
    await stack.put("apikeys", apikey(1))
    for path in ("/v1", "/team-a/llama/v1"):
        await asyncio.to_thread(_sync_client, stack.url + path)
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(model="org/llama", messages=HI, stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["Par", "is"]
    await asyncio.to_thread(_sync_errors, f"{stack.url}/v1")


def _sync_client(base_url: str) -> None:
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(model="org/llama", messages=HI).choices[0].message.content == "Paris"
        with client.chat.completions.create(model="org/llama", messages=HI, stream=True) as stream:
            assert [chunk.choices[0].delta.content for chunk in stream] == ["Par", "is"]
        assert [model.id for model in client.models.list()] == ["org/llama"]
        assert client.models.retrieve("org/llama").owned_by == "team-a"


def _sync_errors(base_url: str) -> None:
    with openai.OpenAI(base_url=base_url, api_key=secret_key(7), max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key"
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="gpt-5", messages=HI)
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.APIStatusError) as large:
            client.completions.create(model="org/llama", prompt="x" * 9_000_000)
        assert large.value.status_code == 413
