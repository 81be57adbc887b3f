"""GET /v1/organization/…: an Admin key's questions, passed on to the ledger with the scope of the key."""

import logging
from typing import Final

from aiohttp import ClientResponse, web

from llmservice_api.names import ADMIN_HEADER, EVERY_NAMESPACE
from llmservice_gateway import errors
from llmservice_gateway.ledger_client import LedgerAway, LedgerClient

_LOG: Final = logging.getLogger(__name__)
_HEADERS: Final = ("content-type", "content-disposition", "retry-after")


def scope(namespace: str, release: str) -> str:
    """What a key of the namespace may see: keys of the release's own namespace see all."""
    return EVERY_NAMESPACE if namespace == release else namespace


def add_organization(app: web.Application, ledger: LedgerClient | None, release: str) -> None:
    """Adds the route. It believes HAProxy on whose key asks; without a ledger it says that there is none."""

    async def ask(request: web.Request) -> web.StreamResponse:
        if ledger is None:
            return said(errors.METERING_OFF)
        try:
            answer = await ledger.organization(request.raw_path, scope(request.headers[ADMIN_HEADER], release))
        except LedgerAway as error:
            _LOG.warning("the ledger was not asked for %s: %s", request.path, error)
            return said(errors.LEDGER_AWAY)
        async with answer:
            return await _passed_on(answer, request)

    app.router.add_get("/v1/organization/{what:.+}", ask)


async def _passed_on(answer: ClientResponse, request: web.Request) -> web.StreamResponse:
    """A file may be large: it is handed on as it comes, and breaks off where the ledger does."""
    response = web.StreamResponse(status=answer.status)
    response.headers.update({name: answer.headers[name] for name in _HEADERS if name in answer.headers})
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def said(error: errors.ApiError) -> web.Response:
    """An error in OpenAI's shape."""
    return web.Response(status=error.status, body=error.body().encode(), headers=error.all_headers)
