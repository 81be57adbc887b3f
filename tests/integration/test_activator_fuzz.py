"""Any bytes at the activator's own port, where only HAProxy asks: an answer or an end, never a 500, never a hang."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import apikey, llmservice

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUNS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SECONDS = 20
KEY = f"{1:016x}".encode()
PATHS = (
    *(b"/v1/chat/completions", b"/v1/messages", b"/v1/audio/transcriptions", b"/v1/engines/a%2Fb/completions"),
    *(
        b"/v2/rerank",
        b"/v1/",
        b"/v1/%00",
        b"/v1/\xff",
        b"http://h/v1/completions",
        b"/v1/models",
        b"/refused/large",
        b"*",
    ),
)
NAMES = (
    *(b"x-llmservice-key-id", b"x-llmservice-route", b"x-request-id", b"content-type", b"user-agent", b"traceparent"),
    *(b"content-encoding", b"transfer-encoding", b"content-length", b"host", b"connection", b"upgrade"),
)
"""Not `expect`: aiohttp makes a 500 of one that is no text, and HAProxy passes none on."""
VALUES = st.one_of(
    st.binary(max_size=24),
    st.sampled_from(
        [
            *(
                KEY,
                b"team-a/m",
                b"team-a/cold",
                b"team-a/none",
                b"multipart/form-data; boundary=B",
                b"gzip",
                b"chunked",
            ),
            *(b"application/json", b"100-continue", b"5", b"-1", b"close", b"websocket", b"\xff\xfe"),
        ]
    ),
)
FORM = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--B--\r\n'
BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b'{"model": "m"}', b'{"model": "cold", "stream": true}', b'{"model": "\\ud800"}', b"[" * 100_000, FORM]
    ),
    st.text(alphabet='{}[]":,\\model u0', max_size=60).map(str.encode),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running(upload_timeout=1, waiting_interval=1) as stack:
        await stack.put("llmservices", llmservice("m", address=stack.upstream.address), llmservice("cold", hold=(2, 1)))
        await stack.put("apikeys", apikey(1))
        yield stack


async def asked(stack: Stack, data: bytes) -> bytes:
    """Everything that comes until the connection ends; fails where it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.settings.inner_port)
    answer = b""
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(data)
            while chunk := await reader.read(65536):
                answer += chunk
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


def statuses(answer: bytes) -> list[int]:
    """Of the responses in the bytes."""
    return [int(each) for each in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", answer, re.MULTILINE)]


@RUNS
@given(st.sampled_from(PATHS), st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6), BODIES)
@example(b"/v1/audio/transcriptions", [(b"content-type", "multipart/form-data; boundary=é".encode())], FORM)
@example(b"/v1/completions", [(b"x-llmservice-route", b"team-a/m"), (b"user-agent", b"\xff")], b"{}")
@example(b"/v1/messages", [(b"x-request-id", b'a"b')], b"{}")
@example(b"/v1/completions", [(b"transfer-encoding", b"chunked")], b"zz\r\n")
@example(b"/v1/completions", [(b"content-length", b"1000")], b"{")
@example(b"/v1/completions", [(b"expect", b"100-continue")], b"{}")
async def test_any_request(stack: Stack, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    given = {name for name, _ in headers}
    lines = [b"POST " + path + b" HTTP/1.1", b"connection: close", *(b": ".join(each) for each in headers)]
    if not given & {b"content-length", b"transfer-encoding"}:
        lines.append(b"content-length: %d" % len(body))
    if b"host" not in given:
        lines.append(b"host: h")
    answer = await asked(stack, b"\r\n".join(lines) + b"\r\n\r\n" + body)
    assert 500 not in statuses(answer)


@settings(RUNS, max_examples=30)  # most of them never end, and wait for the deadline of an upload
@given(st.lists(st.tuples(st.integers(-1, 40), st.binary(max_size=40)), max_size=6), st.booleans())
async def test_any_chunks(stack: Stack, chunks: list[tuple[int, bytes]], ends: bool) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (size if size >= 0 else len(data), data) for size, data in chunks)
    key = b"x-llmservice-key-id: " + KEY + b"\r\n\r\n"
    answer = await asked(stack, head + key + body + (b"0\r\n\r\n" if ends else b""))
    assert 500 not in statuses(answer)


@RUNS
@given(st.binary(max_size=300))
@example(b"POST /v1/completions HTTP/1.1\r\n")
@example(b"\x16\x03\x01\x02\x00\x01")
async def test_any_bytes(stack: Stack, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.settings.inner_port)
    writer.write(data)
    writer.write_eof()
    try:
        async with asyncio.timeout(SECONDS):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    assert 500 not in statuses(answer)


async def test_afterwards_nobody_is_held_and_it_answers(stack: Stack) -> None:
    assert stack.figure("llmservice_gateway_held_requests") == 0
    ask = b"POST /v1/completions HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-llmservice-key-id: %s\r\n" % KEY
    assert statuses(await asked(stack, ask + b'content-length: 14\r\n\r\n{"model": "m"}')) == [200]
