"""Bytes in time: streams are passed on at once, a client that leaves takes its work with it, nothing waits for ever."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import openai
import pytest
from aiohttp import web

from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, event, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY = secret_key(1)
BODY = {"model": "llama", "messages": [{"role": "user", "content": "hi"}], "stream": True}
SILENCE = 8
SOON = 6.0
"""Seconds in which anything comes to pass on a busy machine; after SILENCE the gateway would end a request itself."""


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running(client_timeout=1, header_timeout=1, body_timeout=1, server_timeout=SILENCE) as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        yield stack


class Stream:
    """A streamed answer whose steps the test allows one by one."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.begun = asyncio.Event()
        self.left = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.begun.set()
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            step = await self.steps.get()
            await response.prepare(request)
            while step is not None:
                await response.write(step)
                step = await self.steps.get()
            await response.write(b"data: [DONE]\n\n")
            return response
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise


@pytest.fixture
def stream(stack: Stack) -> Stream:
    stream = Stream()
    stack.upstream.handler = stream.handle
    return stream


async def test_an_event_arrives_before_the_next_one_is_sent(stack: Stack, stream: Stream) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0) as client:
        stream.steps.put_nowait(event("0"))
        answer = await client.chat.completions.create(
            model="llama", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        count = 0
        async for chunk in answer:
            assert chunk.choices[0].delta.content == str(count)
            count += 1
            stream.steps.put_nowait(event(str(count)) if count < 20 else None)
        assert count == 20


async def test_a_client_that_leaves_in_mid_stream_ends_the_upstreams_work(stack: Stack, stream: Stream) -> None:
    stream.steps.put_nowait(event("first"))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with stack.http.post(f"{stack.url}/v1/chat/completions", json=BODY, headers=headers) as response:
        assert await response.content.readline()
    await asyncio.wait_for(stream.left.wait(), SOON)


async def test_a_client_that_leaves_before_the_first_token_ends_the_upstreams_work(
    stack: Stack, stream: Stream
) -> None:
    asked = asyncio.create_task(stack.post("/team-a/llama/v1/chat/completions", BODY, KEY))
    await asyncio.wait_for(stream.begun.wait(), SOON)
    asked.cancel()
    await asyncio.wait_for(stream.left.wait(), SOON)


async def a_clients_timeout(stack: Stack) -> None:
    """Returns once HAProxy has cut off a client that keeps it waiting: its own clock says that the time is over."""
    assert (await stack.raw(b"POST /v1/completions HTTP/1.1\r\nHost:")).startswith(b"HTTP/1.1 408 ")


async def test_thinking_may_take_longer_than_the_clients_timeouts(stack: Stack, stream: Stream) -> None:
    asked = asyncio.create_task(stack.post("/v1/chat/completions", BODY, KEY))
    await asyncio.wait_for(stream.begun.wait(), SOON)
    await a_clients_timeout(stack)
    stream.steps.put_nowait(event("late"))
    await a_clients_timeout(stack)
    stream.steps.put_nowait(None)
    answer = await asked
    assert (answer.status, answer.body) == (200, event("late") + b"data: [DONE]\n\n")


async def test_an_upstream_that_never_answers_is_a_504(stack: Stack, stream: Stream) -> None:
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert stream.begun.is_set()
    assert (answer.status, answer.error["code"]) == (504, "gateway_timeout")


async def test_an_upstream_that_hangs_up_is_a_502(stack: Stack) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    stack.upstream.handler = hang_up
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert (answer.status, answer.error["code"]) == (502, "bad_gateway")


async def test_an_upstream_that_is_not_there_is_a_503(stack: Stack) -> None:
    await stack.put("llmservices", llmservice("llama", address="127.0.0.1:1"))
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"]


async def test_upstream_errors_pass_as_they_are(stack: Stack) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"error": {"message": "n must be 1"}}, status=400, headers={"Server": "uvicorn"})

    stack.upstream.handler = refuse
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert (answer.status, json.loads(answer.body)) == (400, {"error": {"message": "n must be 1"}})
    assert "Server" not in answer.headers


async def test_a_body_that_stalls_is_a_408(stack: Stack) -> None:
    for path in ("/v1/completions", "/team-a/llama/v1/completions"):
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 9\r\n\r\n{{"
        answer = await stack.raw(head.encode())
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "request_timeout"' in answer
    assert stack.upstream.seen == []


async def test_headers_that_stall_are_a_408(stack: Stack) -> None:
    answer = await stack.raw(b"POST /v1/completions HTTP/1.1\r\nHost:")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_stops_reading_is_cut_off(stack: Stack, stream: Stream) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.settings.public_port, limit=1)
    body = json.dumps(BODY)
    head = f"Host: h\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(f"POST /v1/completions HTTP/1.1\r\n{head}{body}".encode())
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(400):
        stream.steps.put_nowait(b": " + b"x" * 65536 + b"\n\n")
    await asyncio.wait_for(stream.left.wait(), SOON)
    assert stream.steps.qsize() > 0
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):  # it ends, and that without a last chunk
        await asyncio.wait_for(reader.readexactly(400 * 65536), SOON)
    writer.close()


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


async def test_draining_finishes_what_is_under_way(stack: Stack, stream: Stream) -> None:
    stream.steps.put_nowait(event("first"))
    asked = asyncio.create_task(stack.post("/v1/chat/completions", BODY, KEY))
    await asyncio.wait_for(stream.begun.wait(), SOON)
    stack.gateway.stop()
    async with stack.http.get(f"http://127.0.0.1:{stack.settings.agent_port}/readyz") as ready:
        assert ready.status == 503
    await eventually(lambda: refuses(stack.settings.public_port))
    assert not stack.run.done()
    stream.steps.put_nowait(None)
    assert (await asked).body.endswith(b"[DONE]\n\n")
    await eventually(stack.run.done)
    assert stack.run.result() == 0
