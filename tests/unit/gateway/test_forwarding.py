"""What is left of a request once its answer has begun."""

import asyncio
import sys

from aiohttp import web
from aiohttp.test_utils import TestServer

from llmservice_gateway.forwarding import Asked, upstreams
from llmservice_gateway.objects import Address
from tests.eventually import eventually


async def test_a_body_is_in_memory_no_longer_than_its_place_is_taken() -> None:
    """The place is given back when the answer begins; a long stream must not keep the body beyond that."""
    end = asyncio.Event()

    async def streaming(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse()
        await response.prepare(request)
        await end.wait()
        return response

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/completions", streaming)
    body = b"x" * 2**23
    kept = sys.getrefcount(body)
    async with TestServer(app) as model, upstreams(5, 5) as asking:
        assert model.port is not None
        address = Address("127.0.0.1", model.port)
        answer = await asking.ask(address, Asked("/v1/completions", {}, body), lambda: None)
        await eventually(lambda: sys.getrefcount(body) == kept)
        assert not answer.content.at_eof()
        end.set()
        assert await answer.read() == b""
