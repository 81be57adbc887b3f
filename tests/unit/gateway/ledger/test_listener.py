"""A port that cannot be held by those who send slowly, too much at once, or no HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp.test_utils import unused_port

from llmservice_gateway.ledger.access import Access
from llmservice_gateway.ledger.app import ledger_app
from llmservice_gateway.ledger.identity import Identity
from llmservice_gateway.ledger.listener import listening
from llmservice_gateway.ledger.metrics import Metrics
from tests.eventually import eventually

GATEWAY = Identity("llmservice-system", "gateway")
POST = b"POST /v1/events HTTP/1.1\r\nhost: ledger\r\nauthorization: Bearer t\r\n"
GET = b"GET /nothing HTTP/1.1\r\nhost: ledger\r\n"


class Known:
    """Everybody is the gateway."""

    async def of(self, _: str) -> Identity:
        """It."""
        return GATEWAY


@asynccontextmanager
async def port(**bounds: Any) -> AsyncIterator[int]:
    """An app that needs no ledger, since no request gets so far."""
    free = unused_port()
    app = ledger_app(cast(Any, None), Access(Known(), GATEWAY), Metrics(), bounds.pop("within", 60.0))
    async with listening(app, "127.0.0.1", free, **bounds):
        yield free


async def said(number: int, sent: bytes) -> bytes:
    """What comes until the other side closes; the sender stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        POST + b"content-length: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_so_once_in_openais_shape(sent: bytes) -> None:
    async with port() as number:
        head, _, body = (await said(number, sent)).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/json" in head
    assert json.loads(body)["error"]["code"] == "bad_request"


async def test_headers_that_trickle_are_cut_off() -> None:
    async with port(idle=0.2) as number:
        assert await said(number, POST) == b""


async def test_a_body_that_trickles_is_a_408() -> None:
    async with port(within=0.2) as number:
        answer = await said(number, POST + b"connection: close\r\ncontent-length: 9\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


async def test_a_connection_too_many_is_closed_until_another_ends() -> None:
    async with port(most=1) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(GET + b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        assert await said(number, b"") == b""
        writer.close()

        async def taken() -> bool:
            try:
                return (await said(number, GET + b"connection: close\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
            except ConnectionError:
                return False

        await eventually(taken)
