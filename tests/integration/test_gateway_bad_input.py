"""What only a hostile or broken client sends, on raw sockets where a client library would repair it."""

import gzip
import io
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY = secret_key(1)
SMALL = 81920 - 24 * 1024
LARGE = 8 * 1024 * 1024
HEAD = f"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n".encode()
HOST = b"Host: h\r\n"
BODY = b'{"model": "llama"}'
SIZED = b"Content-Length: 18\r\n\r\n" + BODY

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running() as stack:
        await stack.put("llmservices", llmservice("llama", aliases=["a/b:c"], address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    return gateway


SHAPED = {
    "two Authorization headers": (400, HEAD + HOST + b"Authorization: Bearer x\r\n" + SIZED),
    "two x-api-key headers": (400, HEAD[: HEAD.index(b"Auth")] + HOST + b"x-api-key: a\r\nx-api-key: b\r\n" + SIZED),
    "two kinds of key": (400, HEAD + HOST + b"x-api-key: a\r\n" + SIZED),
    "Host with a query": (400, HEAD + b"Host: a/?x=\r\n" + SIZED),
    "Host with a fragment": (400, HEAD + b"Host: h/#\r\n" + SIZED),
    "Host with a user": (400, HEAD + b"Host: a@b\r\n" + SIZED),
    "empty Host": (400, HEAD + b"Host: \r\n" + SIZED),
    "no Host": (400, HEAD + SIZED),
    "chunks in HTTP/1.0": (400, HEAD.replace(b"1.1", b"1.0") + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "101 headers": (431, HEAD + HOST + b"X: y\r\n" * 101 + SIZED),
    "1,000 headers": (431, HEAD + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + SIZED),
    "NUL in a header": (400, HEAD + HOST + b"X: \0\r\n" + SIZED),
    "20 KiB of headers": (431, HEAD + HOST + b"X: " + b"y" * 20480 + b"\r\n" + SIZED),
    "20 KiB key": (431, HEAD.replace(b"llms_", b"llms_" + b"0" * 20480) + HOST + SIZED),
    "64 KiB key": (431, HEAD.replace(b"llms_", b"llms_" + b"0" * 65536) + HOST + SIZED),
    "length over the limit": (413, HEAD + HOST + b"Content-Length: %d\r\n\r\n" % (LARGE + 1)),
}


@pytest.mark.parametrize("name", SHAPED)
async def test_refused_in_openais_shape(stack: Stack, name: str) -> None:
    status, data = SHAPED[name]
    answer = await stack.raw(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}
    assert b"x-request-id: req_" in answer
    assert stack.upstream.seen == []


UNPARSED = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": HEAD + HOST + b"Content-Length: 3\r\n" + SIZED,
    "negative length": HEAD + HOST + b"Content-Length: -1\r\n\r\n",
    "signed length": HEAD + HOST + b"Content-Length: +18\r\n\r\n" + BODY,
    "space before the colon": HEAD + HOST + b"Content-Length : 18\r\n\r\n" + BODY,
    "xchunked": HEAD + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": HEAD + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "bad chunk": HEAD + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "two Hosts": HEAD + HOST + b"Host: i\r\n" + SIZED,
    "another host in the URL": HEAD.replace(b"/v1", b"http://a/v1") + HOST + SIZED,
    "bare CR": HEAD + HOST + b"X: a\rb\r\n" + SIZED,
    "bytes over 127 in the URL": HEAD.replace(b"completions", b"\xff") + HOST + SIZED,
    "80 KiB key": HEAD.replace(b"llms_", b"llms_" + b"0" * 81920) + HOST + SIZED,
    "length of 10^30": HEAD + HOST + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(40),
    "no version": b"GET /v1/models\r\n\r\n",
    "a space in a name": HEAD + HOST + b"a b: c\r\n" + SIZED,
    "1,300 headers": HEAD + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(1300)) + SIZED,
}
PARSERS_WORDS = b"<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"
"""The one body that HAProxy's parser has: HAProxy can be told to leave it out, not to say another."""


@pytest.mark.parametrize("name", UNPARSED)
async def test_refused_by_the_parser(stack: Stack, name: str) -> None:
    answer = await stack.raw(UNPARSED[name])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(PARSERS_WORDS)
    assert stack.upstream.seen == []


async def test_a_list_of_codings_is_refused_by_the_parser(stack: Stack) -> None:
    answer = await stack.raw(HEAD + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert stack.upstream.seen == []


async def test_both_lengths_cannot_smuggle(stack: Stack) -> None:
    """HAProxy drops Content-Length, as RFC 9112 allows, and closes: what follows is never a second request."""
    inner = b"POST /team-a/llama/v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    data = (
        HEAD + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n12\r\n" + BODY + b"\r\n0\r\n\r\n" + inner
    )
    answer = await stack.raw(data)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(stack.upstream.seen) <= 1


BODIES = {
    "empty": (b"", "invalid_json"),
    "not JSON": (b"hello", "invalid_json"),
    "array": (b'["model"]', "invalid_json"),
    "no model": (b'{"a": 1}', "missing_required_parameter"),
    "nested model only": (b'{"a": {"model": "llama"}}', "missing_required_parameter"),
    "model null": (b'{"model": null}', "missing_required_parameter"),
    "model an object": (b'{"model": {"a": "llama"}}', "missing_required_parameter"),
    "cut off": (b'{"mod', "missing_required_parameter"),
    "depth 100,000": (b'{"a": ' + b"[" * 19000 + b"]" * 19000 + b', "model": "llama"}', "missing_required_parameter"),
    "model twice": (b'{"model": "llama", "b": [{}, "]"], "model": "x"}', "invalid_json"),
    "model twice, once escaped": (b'{"model": "llama", "mod\\u0065l": "x"}', "invalid_json"),
    "model twice, at once": (b'{"model":"llama","model":"llama"}', "invalid_json"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_without_one_model_is_a_400(stack: Stack, name: str) -> None:
    body, code = BODIES[name]
    answer = await stack.ask("POST", "/v1/completions", data=body, headers={"Authorization": f"Bearer {KEY}"})
    assert (answer.status, answer.error["code"]) == (400, code)
    assert stack.upstream.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"model": "x", "content": "\\"model\\": \\"y\\""}], "model": "llama"}',
        b' \n\t{"tools": {"properties": {"model": {"type": "string"}}}, "model" : "llama", "b": {"model": [1]}}',
        b'{"model": "a/b:c"}',
        b'{"model": "a\\/b:c"}',
        b'{"model": "\\u006clama"}',
        b'{"messages": "\xff\xfe\xed\xa0\x80", "model": "llama"}',
        b'{"messages": "' + "中".encode() * 12000 + b'", "model": "llama"}',
    ],
)
async def test_the_model_is_found_where_clients_put_it(stack: Stack, body: bytes) -> None:
    answer = await stack.ask("POST", "/v1/completions", data=body, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status == 200
    assert stack.upstream.seen[0][2] == body


AUDIO = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + bytes(range(256)) * 1000 + b"\r\n"
)
FIELD = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        (FIELD % b"llama" + AUDIO, 200, None),
        (FIELD.replace(b"\r\n\r\n%s", b"\r\nContent-Type: text/plain\r\n\r\n%s") % b"a/b:c" + AUDIO, 200, None),
        (FIELD % b"unknown" + AUDIO, 404, "model_not_found"),
        (AUDIO + FIELD % b"llama", 200, None),
        (AUDIO + FIELD % b"llama" + FIELD % b"a/b:c", 400, "invalid_json"),
        (AUDIO, 400, "missing_required_parameter"),
        (FIELD % b"llama" + FIELD % b"a/b:c" + AUDIO, 400, "invalid_json"),
        (b"", 400, "missing_required_parameter"),
    ],
)
async def test_of_a_form_the_model_is_read_wherever_it_stands(
    stack: Stack, form: bytes, status: int, code: str | None
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=B"}
    answer = await stack.ask("POST", "/v1/audio/transcriptions", data=form + b"--B--\r\n", headers=headers)
    assert answer.status == status
    if code is None:
        assert stack.upstream.seen[0][2] == form + b"--B--\r\n"
        assert stack.upstream.seen[0][1]["Content-Type"] == headers["Content-Type"]
    else:
        assert answer.error["code"] == code
        assert stack.upstream.seen == []
    named = await stack.ask("POST", "/team-a/llama/v1/audio/transcriptions", data=form + b"--B--\r\n", headers=headers)
    assert named.status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_every_url_takes_bodies_up_to_the_limit(stack: Stack, chunked: bool) -> None:
    async def send(size: int, path: str = "/v1/completions") -> tuple[int, str | None]:
        body = b'{"model": "llama", "a": "' + b"x" * (size - 27) + b'"}'
        headers = {"Authorization": f"Bearer {KEY}"}
        data = _pieces(body) if chunked else io.BytesIO(body)
        answer = await stack.ask("POST", path, data=data, headers=headers)
        return answer.status, None if answer.status == 200 else answer.error["message"]

    for path in ("/v1/completions", "/team-a/llama/v1/completions"):
        for size in (SMALL, SMALL + 1, LARGE):
            assert await send(size, path) == (200, None)
            assert len(stack.upstream.seen.pop()[2]) == size
        status, message = await send(LARGE + 1, path)
        assert (status, message) == (413, f"The body is larger than {LARGE} bytes.")
    assert stack.upstream.seen == []


async def test_a_large_refused_body_still_gets_its_answer(stack: Stack) -> None:
    for _ in range(20):
        body = b'{"model": "llama", "a": "' + b"x" * 12_000_000 + b'"}'
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = await stack.ask("POST", "/v1/completions", data=io.BytesIO(body), headers=headers)
        assert answer.status == 413


async def test_a_large_body_where_none_belongs_is_refused_as_anywhere(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = await stack.ask("GET", "/v1/models", data=io.BytesIO(b"x" * 12_000_000), headers=headers)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_compressed_bodies_are_refused(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Encoding": "gzip"}
    for path in ("/v1/completions", "/team-a/llama/v1/completions"):
        answer = await stack.ask("POST", path, data=gzip.compress(b"0" * 10**7), headers=headers)
        assert (answer.status, answer.error["code"]) == (415, "unsupported_content_encoding")


async def test_no_upgrade_reaches_the_model(stack: Stack) -> None:
    upgrade = b"Connection: Upgrade, X-Request-Id\r\nUpgrade: websocket\r\n"
    answer = await stack.raw(HEAD + HOST + upgrade + SIZED)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert "Upgrade" not in stack.upstream.seen[0][1]


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]
