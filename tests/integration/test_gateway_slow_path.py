"""Bodies that do not fit HAProxy's buffer: the activator reads and forwards them, and no client sees a difference."""

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from aiohttp import web

from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, completion, event, running
from tests.integration.test_gateway_failures import PLAIN, bad_gateway, failing, hang_up, reset
from tests.unit.gateway.builders import PEPPER, apikey, llmservice, secret_key

ALL, BASE, ONE, DYNAMIC, ONE_DYNAMIC, ADMIN = (secret_key(number) for number in range(1, 7))
CHAT = "/v1/chat/completions"
PAD = "x" * 100_000
LARGE = 8 * 1024 * 1024

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running(tracing_endpoint="http://127.0.0.1:9") as stack:
        here = stack.upstream.address
        await stack.put(
            "llmservices",
            llmservice("tuned", model="org/base", adapters=["legal", "med", "bad"], failed=["bad"], address=here),
            llmservice("folder", aliases=["f"], dynamic=True, address=here),
            llmservice("away"),
            llmservice("gone", address="127.0.0.1:9"),
            llmservice("free", mode="Open", adapters=["tale"], dynamic=True, address=here),
            llmservice("theirs", namespace="team-b", mode="Open", address=here),
        )
        await stack.put(
            "apikeys",
            apikey(1),
            apikey(2, models=["org/base", "folder"]),
            apikey(3, models=["legal"]),
            apikey(4, models=["f:*"]),
            apikey(5, models=["folder:a"]),
            apikey(6, role="Admin"),
        )
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    gateway.upstream.handler = None
    return gateway


def client(stack: Stack) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=ALL, max_retries=0)


async def test_openais_client_sends_8_mib_and_reads_a_stream_as_it_comes(stack: Stack) -> None:
    second = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        stack.upstream.seen.append((request.path_qs, request.headers.copy(), await request.read()))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("Par"))
        await second.wait()
        await response.write(event("is") + b"data: [DONE]\n\n")
        return response

    stack.upstream.handler = stream
    text = "é" * ((LARGE - 200) // 6)  # an escape of six bytes each in the client's JSON, or two as UTF-8
    async with client(stack) as asking:
        chunks = await asking.chat.completions.create(
            model="org/base", messages=[{"role": "user", "content": text}], stream=True
        )
        found = []
        async for chunk in chunks:
            found.append(chunk.choices[0].delta.content)
            second.set()
    assert found == ["Par", "is"]
    path, headers, body = stack.upstream.seen[0]
    assert path == CHAT
    assert json.loads(body)["messages"][0]["content"] == text
    assert (headers["x-llmservice-key-id"], headers["x-llmservice-route"]) == (f"{1:016x}", "team-a/tuned")
    assert headers["x-request-id"].startswith("req_")
    assert headers["traceparent"].startswith("00-")
    assert headers["Host"] == "llmservice"
    assert int(headers["Content-Length"]) == len(body)
    assert "Authorization" not in headers


RESOLVED = [
    *((ALL, model, 200) for model in ("org/base", "legal", "folder:a", "folder:A_b-1.2", "f:a")),
    *((BASE, model, 200) for model in ("org/base", "legal", "med", "folder:a", "f:b")),
    (ONE, "legal", 200),
    *((DYNAMIC, model, 200) for model in ("f:a", "f:b")),
    (ONE_DYNAMIC, "folder:a", 200),
    *((ALL, model, 404) for model in ("bad", "org/base:a", "folder:", "folder:../x", "folder:a/b", "x:y")),
    *((ALL, model, 404) for model in ("folder:a:b", "folder:-a", ":a", "folder:" + "a" * 200, "y" * 5000)),
    *((ONE, model, 404) for model in ("org/base", "med", "folder", "folder:a")),
    *((DYNAMIC, model, 404) for model in ("f", "folder", "folder:a", "legal")),
    *((ONE_DYNAMIC, model, 404) for model in ("folder", "folder:b", "f:a")),
    *((key, "free", 200) for key in (ALL, BASE, ONE, ADMIN)),
    *((key, model, 200) for key in (ONE, ADMIN) for model in ("tale", "free:x")),
    (ADMIN, "org/base", 404),
    (ALL, "theirs", 404),
    (PEPPER.probe_key(), "free", 404),
    (ALL, "away", 503),
    (PEPPER.probe_key(), "org/base", 404),
]


@pytest.mark.parametrize(("key", "model", "status"), RESOLVED)
@pytest.mark.parametrize("pad", ["", PAD])
async def test_names_mean_the_same_in_bodies_of_any_size(
    stack: Stack, key: str, model: str, status: int, pad: str
) -> None:
    answer = await stack.post(CHAT, {"pad": pad, "model": model}, key)
    assert answer.status == status
    assert len(stack.upstream.seen) == (status == 200)
    if status == 404:
        assert answer.error["code"] == "model_not_found"
        assert f"`{model[:20]}" in answer.error["message"]


BODIES = {
    "not JSON": (b"hello" + PAD.encode(), "invalid_json"),
    "array": (b'["model", "%s"]' % PAD.encode(), "invalid_json"),
    "no model": (b'{"a": "%s"}' % PAD.encode(), "missing_required_parameter"),
    "nested model only": (b'{"a": {"model": "org/base"}, "b": "%s"}' % PAD.encode(), "missing_required_parameter"),
    "model null": (b'{"a": "%s", "model": null}' % PAD.encode(), "missing_required_parameter"),
    "model an object": (b'{"a": "%s", "model": {"a": 1}}' % PAD.encode(), "missing_required_parameter"),
    "cut off": (b'{"model": "org/base", "a": "%s' % PAD.encode(), "invalid_json"),
    "twice": (b'{"model": "org/base", "a": "%s", "model": "x"}' % PAD.encode(), "invalid_json"),
    "twice, once escaped": (b'{"model": "org/base", "a": "%s", "mod\\u0065l": "x"}' % PAD.encode(), "invalid_json"),
    "too many parts": (b'{"a": [' + b"[]," * 300_001 + b'1], "model": "org/base"}', "invalid_json"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_body_without_one_model_is_a_400(stack: Stack, name: str) -> None:
    body, code = BODIES[name]
    answer = await stack.ask("POST", CHAT, data=body, headers={"Authorization": f"Bearer {ALL}"})
    assert (answer.status, answer.error["code"]) == (400, code)
    anthropic = await stack.ask("POST", "/v1/messages", data=body, headers={"x-api-key": ALL})
    said = json.loads(anthropic.body)
    assert (anthropic.status, said["error"]["type"]) == (400, "invalid_request_error")
    assert said["request_id"] == anthropic.headers["x-request-id"]
    assert stack.upstream.seen == []


@pytest.mark.parametrize("fail", [hang_up, reset, bad_gateway])
async def test_what_is_lost_before_the_first_byte_is_asked_again(stack: Stack, fail: object) -> None:
    stack.upstream.handler, bodies = failing(2, fail)  # type: ignore[arg-type]
    body = {"model": "org/base", "pad": PAD}
    assert (await stack.post(CHAT, body, ALL)).status == 200
    assert bodies == [json.dumps(body).encode()] * 3


@pytest.mark.parametrize("fail", [hang_up, reset, bad_gateway])
async def test_it_is_given_up_after_three_tries(stack: Stack, fail: object) -> None:
    stack.upstream.handler, bodies = failing(99, fail)  # type: ignore[arg-type]
    answer = await stack.post(CHAT, {"model": "org/base", "pad": PAD}, ALL)
    assert (answer.status, len(bodies)) == (502, 3)
    assert set(json.loads(answer.body)["error"]) == {"message", "type", "param", "code"}


async def test_a_model_that_cannot_be_reached_is_a_503(stack: Stack) -> None:
    answer = await stack.post(CHAT, {"model": "gone", "pad": PAD}, ALL)
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("name", PLAIN)
async def test_errors_that_are_not_json_and_headers_are_filtered_as_of_any_model(stack: Stack, name: str) -> None:
    status, kind, text, headers, shaped, code = PLAIN[name]

    async def plain(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=text, headers=headers | {"Content-Type": kind, "x-internal": "1"})

    stack.upstream.handler, _ = failing(99, plain)
    answer = await stack.post(CHAT, {"model": "org/base", "pad": PAD}, ALL)
    assert (answer.status, answer.error["code"]) == (shaped, code)
    assert {each.lower() for each in answer.headers} <= {
        *("content-type", "content-length", "date", "retry-after", "x-request-id"),
    }


async def test_the_probe_learns_whom_it_asked(stack: Stack) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"model": "org/base"}' + b" " * 50_000

    headers = {"Authorization": f"Bearer {PEPPER.probe_key()}"}
    answer = await stack.ask("POST", "/team-a/tuned/v1/completions", data=pieces(), headers=headers)
    assert answer.headers["x-llmservice-address"] == stack.upstream.address
    assert {each for each in answer.headers if "llmservice" in each.lower()} == {"x-llmservice-address"}


async def test_a_client_that_leaves_a_stream_frees_the_model_at_once(stack: Stack) -> None:
    closed = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(event("a"))
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    stack.upstream.handler = endless
    body = {"model": "org/base", "pad": PAD, "stream": True}
    async with stack.http.post(stack.url + CHAT, json=body, headers={"Authorization": f"Bearer {ALL}"}) as response:
        await response.content.readany()
    async with asyncio.timeout(5):
        await closed.wait()


async def test_a_client_that_leaves_while_the_model_thinks_frees_it_at_once(stack: Stack) -> None:
    came, closed = asyncio.Event(), asyncio.Event()

    async def thinking(request: web.Request) -> web.StreamResponse:
        await request.read()
        came.set()
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()
        raise AssertionError

    stack.upstream.handler = thinking
    asking = asyncio.create_task(stack.post(CHAT, {"model": "org/base", "pad": PAD}, ALL))
    async with asyncio.timeout(5):
        await came.wait()
        asking.cancel()
        await closed.wait()


async def test_a_stream_that_breaks_off_is_cut(stack: Stack) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("Par"))
        assert request.transport is not None
        request.transport.abort()
        return response

    stack.upstream.handler = broken
    async with client(stack) as asking:
        chunks = await asking.chat.completions.create(
            model="org/base", messages=[{"role": "user", "content": PAD}], stream=True
        )
        with pytest.raises(openai.APIConnectionError):
            async for _ in chunks:
                pass


async def test_the_model_of_the_url_and_of_the_host_needs_no_name_in_chunks(stack: Stack) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    for path in ("/v1/engines/org/base/completions", "/team-a/tuned/v1/completions"):
        answer = await stack.ask("POST", path, data=pieces(), headers={"Authorization": f"Bearer {ALL}"})
        assert (answer.status, len(stack.upstream.seen.pop()[2])) == (200, 100_000)


async def test_a_slow_sender_gets_a_408_and_too_many_bodies_a_503() -> None:
    async with running(upload_timeout=1, body_memory=LARGE // 8, large_body=LARGE // 8) as stack:
        await stack.put("llmservices", llmservice("m", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        head = f"POST /v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ALL}\r\nContent-Length: %d\r\n\r\n"
        answer = await stack.raw((head % 100_000).encode() + b'{"model": "m", "a": "' + b"x" * 60_000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"

        release = asyncio.Event()

        async def thinking(request: web.Request) -> web.StreamResponse:
            stack.upstream.seen.append((request.path_qs, request.headers.copy(), await request.read()))
            await release.wait()
            return web.json_response(completion())

        stack.upstream.handler = thinking
        half = {"model": "m", "pad": "x" * 900_000}
        first = asyncio.create_task(stack.post(CHAT, half, ALL))
        await eventually(lambda: len(stack.upstream.seen) == 1)
        second = await stack.post(CHAT, half, ALL)
        assert (second.status, second.error["code"]) == (503, "overloaded")
        assert int(second.headers["Retry-After"]) > 0
        release.set()
        assert (await first).status == 200
        assert (await stack.post(CHAT, half, ALL)).status == 200


async def test_a_key_that_fills_its_share_shuts_no_other_out() -> None:
    async with running(body_memory=LARGE // 2, large_body=LARGE // 8) as stack:
        await stack.put("llmservices", llmservice("m", address=stack.upstream.address), llmservice("c", hold=(5, 60)))
        await stack.put("apikeys", apikey(1), apikey(2))
        release = asyncio.Event()

        async def thinking(request: web.Request) -> web.StreamResponse:
            stack.upstream.seen.append((request.path_qs, request.headers.copy(), await request.read()))
            await release.wait()
            return web.json_response(completion())

        stack.upstream.handler = thinking
        share = {"model": "m", "pad": "x" * 1_020_000}
        asking = [asyncio.create_task(stack.post(CHAT, share, ALL))]
        await eventually(lambda: len(stack.upstream.seen) == 1)
        async with asyncio.timeout(10):
            assert (await stack.post(CHAT, share, ALL)).error["code"] == "overloaded"
        asking.append(asyncio.create_task(stack.post(CHAT, share, BASE)))
        await eventually(lambda: len(stack.upstream.seen) == 2)
        asking.append(asyncio.create_task(stack.post(CHAT, {"model": "c", "pad": "x" * 40_000}, ALL)))
        await eventually(lambda: stack.figure("llmservice_gateway_held_requests") == 1)
        await stack.put("llmservices", llmservice("c", hold=(5, 60), address=stack.upstream.address, replicas=1))
        release.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 3
