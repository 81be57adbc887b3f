"""GET /v1/organization/…: an Admin key's questions, passed on to the ledger with the scope of the key."""

from aiohttp import web

from llmservice_api.names import ADMIN_HEADER
from llmservice_gateway import errors
from llmservice_gateway.endpoints import ORGANIZATION
from llmservice_gateway.ledger_client import LedgerAway, LedgerClient

ALL: str = "*"


def scope(namespace: str, release: str) -> str:
    """What a key of the namespace may see: keys of the release's own namespace see all."""
    return ALL if namespace == release else namespace


def add_organization(app: web.Application, ledger: LedgerClient | None, release: str) -> None:
    """Adds the route. It believes HAProxy on whose key asks; without a ledger it says that there is none."""

    async def ask(request: web.Request) -> web.Response:
        if ledger is None:
            return said(errors.METERING_OFF)
        try:
            answer = await ledger.organization(request.path_qs, scope(request.headers[ADMIN_HEADER], release))
        except LedgerAway:
            return said(errors.LEDGER_AWAY)
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    app.router.add_get(f"/v1/{ORGANIZATION}{{rest:.*}}", ask)


def said(error: errors.ApiError) -> web.Response:
    """An error in OpenAI's shape."""
    headers = {"content-type": "application/json", **dict(error.headers)}
    return web.Response(status=error.status, body=error.body().encode(), headers=headers)
