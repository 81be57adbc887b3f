"""Answers in OpenAI's shapes, and the outermost place where failures become answers."""

import json
import logging
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from llmservice_gateway.errors import INVALID, SERVER, ApiError
from llmservice_gateway.ledger.event import MOST_BYTES
from llmservice_gateway.ledger.identity import IdentitiesUnknown
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.store import StoreFailed

_LOG: Final = logging.getLogger(__name__)
_AGAIN: Final = (("retry-after", "2"),)

UNKNOWN_URL: Final = ApiError(404, "unknown_url", "There is no such URL here.")
READ_ONLY: Final = ApiError(
    405, "method_not_allowed", "This is read-only: keys, budgets and projects are objects of Kubernetes; change those."
)
TOO_LARGE: Final = ApiError(413, "request_too_large", f"The body is larger than {MOST_BYTES} bytes: send fewer events.")
ENCODED: Final = ApiError(415, "unsupported_content_encoding", "Send the body without Content-Encoding.")
BAD_HTTP: Final = ApiError(400, "bad_request", "The request is not well-formed HTTP.")
INTERNAL: Final = ApiError(500, "internal_error", "The ledger failed on this request.", type=SERVER)
TOO_MANY_REPORTS: Final = ApiError(
    429,
    "rate_limit_exceeded",
    "Too many reports are made at once: wait for those that you asked for, and try again.",
    type="requests",
    headers=_AGAIN,
)
# Why is said in the log only: a driver's text names hosts, users and statements, and answers reach clients.
DATABASE_AWAY: Final = ApiError(
    503, "database_unavailable", "The database cannot be used now: try again.", type=SERVER, headers=_AGAIN
)
TOKENS_UNKNOWN: Final = ApiError(
    503, "tokens_unavailable", "The cluster does not review tokens now: try again.", type=SERVER, headers=_AGAIN
)


class Said(Exception):
    """An answer that ends a request."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.code)
        self.error = error


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> Said:
    """400, with which parameter is wrong and how."""
    return Said(ApiError(400, code, message, type=INVALID, param=param))


def not_found(what: str) -> Said:
    """404 for an object that the asker may not see or that does not exist."""
    return Said(ApiError(404, "not_found", f"No such {what}."))


def answer(error: ApiError) -> web.Response:
    """The error as a response."""
    headers = {"content-type": "application/json", **dict(error.headers)}
    return web.Response(status=error.status, body=error.body().encode("utf-8", "replace"), headers=headers)


def as_json(value: Any) -> web.Response:
    """A value as a response."""
    return web.Response(body=json.dumps(value, separators=(",", ":")).encode(), content_type="application/json")


def failures(metrics: Metrics) -> Middleware:
    """The middleware that turns every failure into an answer."""

    @web.middleware
    async def shaped(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:
            if request.writer.output_size:  # an answer has begun: it can only break off
                raise
            return answer(_said(error, request, metrics))

    return shaped


def _said(error: Exception, request: web.Request, metrics: Metrics) -> ApiError:
    match error:
        case Said():
            return error.error
        case StoreFailed():
            _LOG.error("%s %s: the database failed: %s", request.method, request.path, error)
            return DATABASE_AWAY
        case IdentitiesUnknown():
            metrics.failures.labels("token_review").inc()
            _LOG.error("tokens cannot be reviewed: %s", error)
            return TOKENS_UNKNOWN
        case web.HTTPException():
            return _of_aiohttp(error)
        # A sender that broke off, or sends no HTTP: a worker that ends is no failure.
        case ConnectionError() | web.RequestPayloadError() | HttpProcessingError():
            return BAD_HTTP
    _LOG.error("%s %s", request.method, request.path, exc_info=error)
    return INTERNAL


def unready() -> Said:
    """503 while the ledger does not know yet what it needs, or not any more since its clock went back."""
    return Said(_unavailable("starting", "The ledger is reading keys, prices, budgets and what was spent: try again."))


def too_early(what: str) -> Said:
    """503 for events that the ledger will know more of soon."""
    return Said(_unavailable("not_known_yet", f"{what}: send the events again."))


def _unavailable(code: str, message: str) -> ApiError:
    return ApiError(503, code, message, type=SERVER, headers=_AGAIN)


def _of_aiohttp(error: web.HTTPException) -> ApiError:
    known = {404: UNKNOWN_URL, 405: READ_ONLY, 413: TOO_LARGE}
    return known.get(error.status, BAD_HTTP if error.status < 500 else INTERNAL)
