"""What a client sees of a model that fails: another try before the first byte, a well-formed error, or a clean end."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import anthropic
import openai
import pytest
import pytest_asyncio
from aiohttp import web

from tests.integration.gateway_stack import Handler, Stack, completion, event, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY = secret_key(1)
BODY = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
TRIES = 3

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running() as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    gateway.upstream.handler = None
    return gateway


def failing(times: int, fail: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[Handler, list[bytes]]:
    """A handler that fails so often and then answers, and the bodies that it was given."""
    bodies: list[bytes] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        return await fail(request) if len(bodies) <= times else web.json_response(completion())

    return handle, bodies


async def hang_up(request: web.Request) -> web.StreamResponse:
    """The process ends in order: FIN."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    """The process is killed with unread data: RST."""
    assert request.transport is not None
    request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return web.Response()


async def bad_gateway(_: web.Request) -> web.StreamResponse:
    """The worker's word for: lost before an answer began."""
    return web.json_response({"error": {"message": "m", "type": "t", "param": None, "code": None}}, status=502)


@pytest.mark.parametrize("fail", [hang_up, reset, bad_gateway])
async def test_what_is_lost_before_the_first_byte_is_asked_again(stack: Stack, fail: Handler) -> None:
    stack.upstream.handler, bodies = failing(TRIES - 1, fail)
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert answer.status == 200
    assert bodies == [json.dumps(BODY).encode()] * TRIES


@pytest.mark.parametrize("fail", [hang_up, reset, bad_gateway])
async def test_it_is_given_up_after_three_tries(stack: Stack, fail: Handler) -> None:
    stack.upstream.handler, bodies = failing(99, fail)
    answer = await stack.raw(_first_request("/v1/completions", json.dumps(BODY).encode()))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}
    assert len(bodies) == TRIES


@pytest.mark.parametrize("status", [400, 409, 429, 500, 503, 504])
async def test_an_answer_is_never_asked_for_again(stack: Stack, status: int) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "m"}}, status=status)

    stack.upstream.handler, bodies = failing(99, refuse)
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert (answer.status, len(bodies)) == (status, 1)
    assert ("Retry-After" in answer.headers) is (status in (429, 503))


async def test_a_body_larger_than_the_buffer_is_sent_once(stack: Stack) -> None:
    stack.upstream.handler, bodies = failing(99, hang_up)
    body = json.dumps({"prompt": "x" * 200_000}).encode()
    answer = await stack.raw(_first_request("/team-a/llama/v1/completions", body))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert bodies == [body]


PLAIN: dict[str, tuple[int, str, str, dict[str, str], int, str]] = {
    "Ray's HAProxy lost the engine": (500, "text/plain", "Internal Server Error", {}, 503, "service_unavailable"),
    "Ray's HAProxy knows no application": (404, "text/plain", "Path '/x' not found.", {}, 503, "service_unavailable"),
    "the queue is full": (503, "text/plain; charset=utf-8", "Request dropped", {}, 503, "overloaded"),
    "the queue is full, with a wait": (503, "text/plain", "dropped", {"Retry-After": "7"}, 503, "overloaded"),
    "too many requests": (429, "text/html", "<html>", {"Retry-After": "8"}, 429, "rate_limit_exceeded"),
    "a trace": (500, "text/plain; charset=utf-8", "Traceback (most recent call last)", {}, 500, "internal_error"),
    "a page": (504, "text/html", "<html>10.1.2.3</html>", {}, 504, "gateway_timeout"),
    "a client's fault": (422, "text/plain", "/usr/lib/python3", {}, 400, "bad_request"),
    "no body": (501, "", "", {}, 500, "internal_error"),
}


@pytest.mark.parametrize("name", PLAIN)
async def test_errors_that_are_not_json_become_ours(stack: Stack, name: str) -> None:
    status, content_type, text, headers, wanted, code = PLAIN[name]

    async def say(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=text.encode(), headers={"Content-Type": content_type, **headers})

    stack.upstream.handler, bodies = failing(99, say)
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert (answer.status, answer.error["code"], len(bodies)) == (wanted, code, 1)
    assert not text or text.encode() not in answer.body
    if wanted in (429, 503):
        assert answer.headers["Retry-After"] == headers.get("Retry-After", "2")
    messages = json.loads((await stack.post("/v1/messages", BODY, KEY)).body)
    assert (messages["type"], messages["error"]["code"]) == ("error", code)


async def test_of_the_models_headers_only_listed_ones_reach_the_client(stack: Stack) -> None:
    inner = (
        *("Server", "Via", "Set-Cookie", "X-Powered-By", "Retry-After"),
        *("X-Serve-Reason", "X-Ray-Node", "X-Haproxy-Reload-Id"),
    )
    shown = {"openai-processing-ms": "3", "x-ratelimit-remaining-requests": "1", "x-should-retry": "false"}

    async def say(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers={**dict.fromkeys(inner, "7"), **shown})

    stack.upstream.handler = say
    answer = await stack.post("/v1/chat/completions", BODY, KEY)
    assert not [name for name in inner if name in answer.headers]
    assert {name: answer.headers[name] for name in shown} == shown


async def cut(request: web.Request) -> web.StreamResponse:
    """The engine's pod dies after the second event."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(event("0"))
    await response.write(event("1"))
    return await reset(request) if request.headers["User-Agent"] == "killed" else await hang_up(request)


@pytest.mark.parametrize("agent", ["killed", "ended"])
async def test_a_stream_that_breaks_is_not_asked_for_again_and_has_no_end(stack: Stack, agent: str) -> None:
    """No [DONE] and no last chunk: no client takes half an answer for a whole one."""
    stack.upstream.handler, bodies = failing(99, cut)
    head = f"POST /team-a/llama/v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n"
    answer = await stack.raw(f"{head}User-Agent: {agent}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    assert len(bodies) == 1
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.count(b"data: ") <= 2
    assert b"[DONE]" not in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_openais_client_says_that_a_stream_broke(stack: Stack) -> None:
    stack.upstream.handler, bodies = failing(99, cut)
    texts: list[str | None] = []

    async def read() -> None:
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=2) as client:
            answer = await client.chat.completions.create(
                model="llama", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            async for chunk in answer:
                texts.append(chunk.choices[0].delta.content)

    with pytest.raises(openai.APIConnectionError):
        await read()
    assert texts == ["0", "1"]
    assert len(bodies) == 1


async def test_anthropics_client_reads_every_error(stack: Stack) -> None:
    async def ask(key: str, model: str = "llama") -> None:
        async with anthropic.AsyncAnthropic(base_url=stack.url, api_key=key, max_retries=0) as client:
            await client.messages.create(model=model, max_tokens=1, messages=[{"role": "user", "content": "hi"}])

    with pytest.raises(anthropic.AuthenticationError, match="authentication_error"):
        await ask("none")
    with pytest.raises(anthropic.NotFoundError, match="not_found_error") as missing:
        await ask(KEY, "unknown")
    assert missing.value.request_id == missing.value.response.headers["x-request-id"]
    stack.upstream.handler, bodies = failing(99, hang_up)
    with pytest.raises(anthropic.InternalServerError, match="api_error"):
        await ask(KEY)
    assert len(bodies) == TRIES


async def test_a_full_gateway_says_so_at_once() -> None:
    async with running(max_connections=20) as stack:
        assert stack.settings.busy_connections == 19
        idle = [await asyncio.open_connection("127.0.0.1", stack.settings.public_port) for _ in range(19)]
        answer = await stack.get("/v1/models", KEY)
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) > 0
        for _, writer in idle:
            writer.close()

        async with asyncio.timeout(10):
            while (await stack.get("/v1/models", KEY)).status == 503:
                pass


def _first_request(path: str, body: bytes) -> bytes:
    """Of a connection: after the first, HAProxy closes without a word where a model's connection broke."""
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body
