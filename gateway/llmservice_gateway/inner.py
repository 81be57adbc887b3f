"""What the agent answers over HTTP: /v1/models for HAProxy, and health and metrics for the cluster."""

import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from llmservice_api.names import KEY_ID_HEADER, ROUTE_HEADER
from llmservice_gateway import errors
from llmservice_gateway.activator import Activator
from llmservice_gateway.agent import Agent
from llmservice_gateway.bodies import discard
from llmservice_gateway.endpoints import MESSAGES
from llmservice_gateway.ledger_client import LedgerClient
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.organization import add_organization
from llmservice_gateway.settings import Settings

_LOG: Final = logging.getLogger(__name__)
_OF_AIOHTTP: Final = {404: errors.UNKNOWN_URL, 405: errors.METHOD_NOT_ALLOWED}


def inner_app(
    agent: Agent, settings: Settings, activator: Activator, ledger: LedgerClient | None = None
) -> web.Application:
    """For loopback only: it believes HAProxy on who asks (`x-llmservice-key-id`, `x-llmservice-route`)."""

    def visible(request: web.Request) -> list[dict[str, Any]]:
        route = request.headers.get(ROUTE_HEADER)
        return agent.catalog.of_route(route) if route else agent.catalog.of_key(request.headers.get(KEY_ID_HEADER, ""))

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
        await discard(request.content, settings.largest_read, activator.keep(request))
        error, limits = errors.BODY_TOO_LARGE, settings.body_limits
        request_id = request.match_info.get("id")
        return _answer(error, error.anthropic_body(request_id, **limits) if request_id else error.body(**limits))

    app = web.Application(middlewares=[_shaped])
    for path in ("/refused/large", "/refused/large/anthropic/{id}"):
        app.router.add_route("*", path, refused)
    app.router.add_post("/v1/{api:.*}", activator.answer)
    app.router.add_post("/v2/{api:.*}", activator.answer)
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


@web.middleware
async def _shaped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost place: what nobody foresaw is said in the log, and to the client as any error."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _failed(request, _OF_AIOHTTP.get(error.status, errors.BAD_REQUEST))
    except Exception:
        if request.writer.output_size:  # an answer has begun: it can only break off
            raise
        _LOG.exception("%s %s", request.method, request.path)
        return _failed(request, errors.INTERNAL)


def _failed(request: web.Request, error: errors.ApiError) -> web.Response:
    url = errors.escaped(f"{request.method} {request.path[:512]}")
    if request.path.removeprefix("/v1/") not in MESSAGES:
        return _answer(error, error.body(url=url))
    request_id = errors.escaped(request.headers.get("x-request-id", ""))
    return _answer(error, error.anthropic_body(request_id, url=url))


def _answer(error: errors.ApiError, body: str) -> web.Response:
    return web.Response(status=error.status, body=body.encode(), headers=error.all_headers)
