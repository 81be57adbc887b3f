"""The ledger over HTTP: events from workers, news for gateways."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmservice_gateway.errors import REQUEST_TIMEOUT, ApiError
from llmservice_gateway.ledger.access import Access, in_own_namespace
from llmservice_gateway.ledger.answers import ENCODED, TOO_LARGE, Said, as_json, failures, too_early, unready
from llmservice_gateway.ledger.entries import Unsettled
from llmservice_gateway.ledger.event import MOST_BYTES, Refused, parse, refusal
from llmservice_gateway.ledger.ledger import Ledger
from llmservice_gateway.ledger.metrics import Metrics

_WAIT_MOST: Final = 30.0
_KEYS_MOST: Final = 100_000
_SYNC_BYTES: Final = 8 * MOST_BYTES
WITHIN: Final = 30.0
"""Seconds that a body may take."""


class Counted(BaseModel):
    """Requests of a key in a minute (counted since 1970)."""

    model_config = ConfigDict(strict=True, extra="forbid")

    minute: Annotated[int, Field(ge=0, le=2**40)]
    count: Annotated[int, Field(ge=0, le=2**40)]


class Sync(BaseModel):
    """What a gateway says of itself when it asks."""

    model_config = ConfigDict(strict=True, extra="forbid")

    gateway: Annotated[str, Field(min_length=1, max_length=253)]
    version: int = 0
    wait: Annotated[float, Field(ge=0, le=_WAIT_MOST, strict=False)] = 0
    requests: Annotated[dict[Annotated[str, Field(max_length=64)], Counted], Field(max_length=_KEYS_MOST)] = {}


def ledger_app(ledger: Ledger, access: Access, metrics: Metrics, within: float = WITHIN) -> web.Application:
    """Everything but reports; a body that is not here after `within` seconds is refused."""

    async def events(request: web.Request) -> web.Response:
        identity = await access.anybody(request)
        body = await _body(request, within)
        if len(body) > MOST_BYTES:
            raise Said(TOO_LARGE)
        try:
            found = parse(body)
            in_own_namespace(found, identity)
            if not ledger.ready:
                raise unready()
            return as_json(asdict(await ledger.record(found)))
        except Refused as refused:
            metrics.events.labels("refused").inc()
            raise _refused(refused) from None
        except Unsettled as unsettled:
            raise too_early(str(unsettled)) from None

    async def sync(request: web.Request) -> web.Response:
        await access.gateway(request)
        try:
            asked = Sync.model_validate_json(await _body(request, within))
        except ValidationError as error:
            raise _refused(refusal(error)) from None
        if not ledger.ready:
            raise unready()
        requests = {key_id: (each.minute, each.count) for key_id, each in asked.requests.items()}
        return as_json(asdict(await ledger.sync(asked.gateway, asked.version, asked.wait, requests)))

    app = web.Application(middlewares=[failures(metrics)], client_max_size=_SYNC_BYTES)
    app.router.add_post("/v1/events", events)
    app.router.add_post("/v1/sync", sync)
    return app


async def _body(request: web.Request, within: float) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Said(ENCODED)
    try:
        async with asyncio.timeout(within):
            return await request.read()
    except TimeoutError:
        raise Said(REQUEST_TIMEOUT) from None


def _refused(refused: Refused) -> Said:
    status = 403 if refused.forbidden else 400
    return Said(ApiError(status, "invalid_event", str(refused), param=refused.param))
