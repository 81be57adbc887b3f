"""A port whose connections are bounded: how many there are, and how long each may take to ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from llmservice_gateway.ledger.answers import BAD_HTTP, answer

MOST: Final = 1000
"""Connections at once; a gateway has a few, a worker one while it sends."""
IDLE: Final = 30.0
"""Seconds for a request's headers, from the connection's start or the answer before; our clients close sooner."""
_LINGERING: Final = 5.0
"""Seconds in which the rest of a refused body is read, so that its sender reads the answer."""
_CLOSE: Final = 5.0
"""Seconds that requests under way have to end; a worker that is cut off sends its events again."""


@asynccontextmanager
async def listening(
    app: web.Application, address: str, port: int, most: int = MOST, idle: float = IDLE
) -> AsyncIterator[None]:
    """Serves the application; closes connections beyond `most`, and those without whole headers for `idle` seconds."""
    runner = web.AppRunner(app, shutdown_timeout=_CLOSE)
    await runner.setup()
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None

    def connected() -> asyncio.Protocol:
        if len(server.connections) >= most:
            return _OneTooMany()
        return _Connection(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # what its own runner passes for none
            auto_decompress=False,
            keepalive_timeout=idle,  # counted from the connection's start, too, until there are whole headers
            lingering_time=_LINGERING,
        )

    try:
        listener = await loop.create_server(connected, address, port)
        try:
            yield
        finally:
            listener.close()
    finally:
        await runner.cleanup()


class _Connection(web.RequestHandler):
    """One that says in OpenAI's shape what aiohttp says of bytes that are no HTTP."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        said = answer(BAD_HTTP)
        said.force_close()
        return said


class _OneTooMany(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
