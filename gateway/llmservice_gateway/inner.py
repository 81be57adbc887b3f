"""What the agent answers over HTTP: /v1/models for HAProxy, and health and metrics for the cluster."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from aiohttp import StreamReader, web

from llmservice_gateway import errors
from llmservice_gateway.agent import Agent
from llmservice_gateway.ledger_client import LedgerClient
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.organization import add_organization
from llmservice_gateway.settings import Settings

_KEY: Final = "x-llmservice-key-id"
_ROUTE: Final = "x-llmservice-route"


_PATIENCE: Final = 0.3
_REFUSALS: Final = {
    "large": errors.BODY_TOO_LARGE,
    "shared": errors.BODY_TOO_LARGE_SHARED,
    "chunked": errors.BODY_TOO_LARGE_CHUNKED,
}


def inner_app(agent: Agent, settings: Settings, ledger: LedgerClient | None = None) -> web.Application:
    """For loopback only: it believes HAProxy on who asks (`x-llmservice-key-id`, `x-llmservice-route`)."""

    def visible(request: web.Request) -> list[dict[str, Any]]:
        route = request.headers.get(_ROUTE)
        return agent.catalog.of_route(route) if route else agent.catalog.of_key(request.headers.get(_KEY, ""))

    async def every_model(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": visible(request)})

    async def one_model(request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        for model in visible(request):
            if model["id"] == wanted:
                return web.json_response(model)
        error = errors.MODEL_NOT_FOUND
        return _answer(error, error.body(model=errors.escaped(wanted[:128])))

    async def refused(request: web.Request) -> web.Response:
        await _discard(request.content, settings.largest_read)
        error, limits = _REFUSALS[request.match_info["why"]], settings.body_limits
        request_id = request.match_info.get("id")
        return _answer(error, error.anthropic_body(request_id, **limits) if request_id else error.body(**limits))

    app = web.Application()
    app.router.add_post("/refused/{why:large|shared|chunked}", refused)
    app.router.add_post("/refused/{why:large|shared|chunked}/anthropic/{id}", refused)
    app.router.add_get("/v1/models", every_model)
    app.router.add_get("/v1/models/{id:.*}", one_model)
    add_organization(app, ledger, settings.namespace)
    return app


def health_app(agent: Agent, metrics: Metrics, serving: Callable[[], bool]) -> web.Application:
    """`/healthz`, `/readyz` (503 before the first synchronisation and while draining) and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        ready = agent.ready and serving()
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "not ready\n")

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", figures)
    return app


async def _discard(content: StreamReader, most: int) -> None:
    """Reads to the end, to `most` bytes, or until nothing comes (a client may wait for leave to send)."""
    with contextlib.suppress(TimeoutError):
        while most > 0:
            async with asyncio.timeout(_PATIENCE):
                chunk = await content.readany()
            most -= len(chunk)
            if not chunk:
                return


def _answer(error: errors.ApiError, body: str) -> web.Response:
    headers = {"content-type": "application/json", **dict(error.headers)}
    return web.Response(status=error.status, body=body.encode(), headers=headers)
