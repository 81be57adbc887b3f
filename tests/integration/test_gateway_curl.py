"""curl as it is called from a shell: bodies of every size and kind, streams, old HTTP, and what a script is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import HttpVersion11, web

from hack.cluster import machine
from hack.cluster.progress import Steps
from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, completion, event, running
from tests.integration.test_gateway_limits import Engine
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY, ONE_AT_A_TIME = secret_key(1), secret_key(2)
CHAT = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
PATHS = ("/v1/chat/completions", "/team-a/llama/v1/chat/completions")
LARGE = 8 * 1024 * 1024
HTTP_ERROR, CUT_OFF = 22, 18
"""curl's exit statuses."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Curled:
    """What curl printed and said: its exit status, the answer's status and body, what it tells of the exchange."""

    exit: int
    status: int
    body: bytes
    trace: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    machine.ensure({"curl": "curl"}, Steps())
    async with running() as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1), apikey(2, limits={"parallel": 1}))
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    gateway.upstream.handler = None
    return gateway


async def started(stack: Stack, path: str, *words: str, key: str = KEY) -> asyncio.subprocess.Process:
    """curl with these words; its standard output ends with the answer's status."""
    argv = ["curl", "--silent", "--verbose", "--max-time", "60", "--write-out", "\n%{http_code}", *words]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    return await asyncio.create_subprocess_exec(*argv, "-H", f"Authorization: Bearer {key}", stack.url + path, **pipes)


async def ended(process: asyncio.subprocess.Process, given: bytes | None = None) -> Curled:
    """What became of it; `given` is its standard input."""
    said, trace = await process.communicate(given)
    body, _, status = said.rpartition(b"\n")
    assert process.returncode is not None
    return Curled(process.returncode, int(status), body, trace.decode())


async def curl(stack: Stack, path: str, *words: str, key: str = KEY, given: bytes | None = None) -> Curled:
    return await ended(await started(stack, path, *words, key=key), given)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("option", ["-d", "--json"])
async def test_an_answer(stack: Stack, path: str, option: str) -> None:
    found = await curl(stack, path, option, json.dumps(CHAT))
    assert (found.exit, found.status, json.loads(found.body)) == (0, 200, completion())
    assert json.loads(stack.upstream.seen[0][2]) == CHAT


@pytest.mark.parametrize("pad", [0, 1_000_000], ids=["through HAProxy", "through the activator"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_a_stream_is_printed_as_it_comes(stack: Stack, version: str, pad: int) -> None:
    more: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def stream(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if request.version < HttpVersion11:
            response.force_close()
        await response.prepare(request)
        while (text := await more.get()) is not None:
            await response.write(text)
        return response

    stack.upstream.handler = stream
    process = await started(stack, PATHS[0], "-N", version, "--data-binary", "@-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(CHAT | {"stream": True, "pad": "x" * pad}).encode())
    process.stdin.write_eof()
    for each in (event("Par"), event("is"), b"data: [DONE]\n\n"):
        more.put_nowait(each)
        assert await asyncio.wait_for(process.stdout.readexactly(len(each)), 10) == each
    more.put_nowait(None)
    found = await ended(process)
    assert (found.exit, found.status, found.body) == (0, 200, b"")


def large(size: int) -> bytes:
    return b'{"model": "llama", "a": "' + b"x" * (size - 27) + b'"}'


@pytest.mark.parametrize("path", PATHS)
async def test_8_mib_are_sent_once_the_gateway_says_to_go_on(stack: Stack, path: str, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(large(LARGE))
    words = ("-H", "Expect: 100-continue", "--expect100-timeout", "30", "--data-binary", f"@{tmp_path / 'body'}")
    found = await curl(stack, path, *words)
    assert (found.exit, found.status) == (0, 200)
    assert "HTTP/1.1 100 Continue" in found.trace
    assert stack.upstream.seen[0][2] == large(LARGE)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"], ids=["asked first", "at once"])
async def test_a_byte_more_is_refused_in_words(stack: Stack, path: str, expect: str, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(large(LARGE + 1))
    found = await curl(stack, path, "-H", expect, "--data-binary", f"@{tmp_path / 'body'}")
    assert (found.exit, found.status) == (0, 413)
    assert json.loads(found.body)["error"]["message"] == f"The body is larger than {LARGE} bytes."
    assert stack.upstream.seen == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1000, 1_000_000])
async def test_what_comes_through_a_pipe_is_sent_in_chunks(stack: Stack, path: str, size: int) -> None:
    words = ("-X", "POST", "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/json", "-T", "-")
    found = await curl(stack, path, *words, given=large(size))
    assert (found.exit, found.status) == (0, 200)
    assert stack.upstream.seen[0][2] == large(size)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1000, 1_000_000])
async def test_http_1_0_is_answered_and_closed(stack: Stack, path: str, size: int) -> None:
    found = await curl(stack, path, "--http1.0", "--data-binary", "@-", given=large(size))
    assert (found.exit, found.status, json.loads(found.body)) == (0, 200, completion())
    assert "transfer-encoding" not in found.trace.lower()
    assert stack.upstream.seen[0][2] == large(size)


async def test_a_script_learns_of_a_bad_key(stack: Stack) -> None:
    plain = await curl(stack, PATHS[0], "--json", json.dumps(CHAT), key="none")
    assert (plain.exit, plain.status, json.loads(plain.body)["error"]["code"]) == (0, 401, "invalid_api_key")
    failing = await curl(stack, PATHS[0], "--fail", "--json", json.dumps(CHAT), key="none")
    assert (failing.exit, failing.status, failing.body) == (HTTP_ERROR, 401, b"")
    both = await curl(stack, PATHS[0], "--fail-with-body", "--json", json.dumps(CHAT), key="none")
    assert (both.exit, both.status, both.body) == (HTTP_ERROR, 401, plain.body)


async def test_a_script_learns_of_a_stream_that_broke(stack: Stack) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("Par"))
        assert request.transport is not None
        request.transport.close()
        return response

    stack.upstream.handler = broken
    found = await curl(stack, PATHS[0], "-N", "-d", json.dumps(CHAT | {"stream": True}))
    assert (found.exit, found.status, found.body) == (CUT_OFF, 200, event("Par"))


async def test_a_retry_waits_as_long_as_it_is_told(stack: Stack) -> None:
    engine = Engine()
    stack.upstream.handler = engine.handle
    first = await started(stack, PATHS[0], "--json", json.dumps(CHAT), key=ONE_AT_A_TIME)
    await eventually(lambda: engine.under_way == 1)
    second = await started(stack, PATHS[0], "--retry", "5", "--json", json.dumps(CHAT), key=ONE_AT_A_TIME)
    assert second.stderr is not None
    while b"429" not in await second.stderr.readline():
        pass
    engine.go.set()
    assert (await ended(first)).status == 200
    assert (await ended(second)).status == 200
    assert (engine.served, engine.most) == (2, 1)
