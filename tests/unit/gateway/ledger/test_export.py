"""An export that cannot go on."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from llmservice_gateway.ledger.answers import failures
from llmservice_gateway.ledger.bulkhead import MOST_OF_ONE, Bulkhead
from llmservice_gateway.ledger.export import export
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.reports import Reports
from llmservice_gateway.ledger.schema import EVENTS
from llmservice_gateway.ledger.store import StoreFailed

SPAN = {"start_time": ["0"], "end_time": ["60"]}
ROW: Mapping[str, Any] = {each.name: 0 if each.name in ("time", "received", "cost") else "x" for each in EVENTS.c}


class Failing(Reports):
    """Its database goes away after the first `good` batches."""

    def __init__(self, good: int) -> None:
        self._good = good

    def events(self, *_: Any) -> Iterator[list[Mapping[str, Any]]]:
        """Batches of one row."""
        yield from [[ROW]] * self._good
        raise StoreFailed("away")


def asking(good: int) -> TestClient[web.Request, web.Application]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await export(request, SPAN, Failing(good), Bulkhead(), None, "usd")

    app = web.Application(middlewares=[failures(Metrics())])
    app.router.add_get("/", handler)
    return TestClient(TestServer(app))


async def test_a_database_that_goes_away_breaks_the_file_off() -> None:
    async with asking(2) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: ledger\r\n\r\n")
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert (said.count(b"HTTP/1.1 "), said.startswith(b"HTTP/1.1 200")) == (1, True)
    assert not said.endswith(b"0\r\n\r\n")


class Endless(Reports):
    """More events than anybody reads."""

    def __init__(self) -> None:
        pass

    def events(self, *_: Any) -> Iterator[list[Mapping[str, Any]]]:
        """Batches of a thousand rows."""
        while True:
            yield [ROW] * 1000


async def test_a_client_that_reads_for_too_long_is_broken_off_and_its_place_is_free() -> None:
    bulkhead, left = Bulkhead(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            with bulkhead.place("team-a"):
                return await export(request, SPAN, Endless(), bulkhead, "team-a", "usd", longest=0.2)
        finally:
            left.set()

    app = web.Application(middlewares=[failures(Metrics())])
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: ledger\r\n\r\n")
        said = await asyncio.wait_for(reader.readexactly(15), 10)
        await asyncio.wait_for(left.wait(), 10)  # it reads no more
        with ExitStack() as places:
            for _ in range(MOST_OF_ONE):
                places.enter_context(bulkhead.place("team-a"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(2**30), 10)
        writer.close()
    assert said == b"HTTP/1.1 200 OK"


async def test_one_that_was_away_before_is_said() -> None:
    async with asking(0) as client, client.get("/") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (503, "database_unavailable")
