"""Every failure in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, without a trace, path or address.

A 4xx keeps its message, redacted: it is about what the client sent. A 5xx says only what the client can do.
"""

import json
import re
from typing import Any, Final

from llmservice_worker.asgi import Headers, Scope
from llmservice_worker.redaction import redact

_KINDS: Final[dict[int, tuple[str, str | None, str]]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "The API key is missing or wrong."),
    403: ("permission_error", None, "This is not permitted."),
    404: ("invalid_request_error", None, "There is no such resource."),
    405: ("invalid_request_error", "method_not_supported", "The method is not supported here."),
    408: ("timeout_error", "request_timeout", "The request took too long."),
    409: ("idempotency_error", "idempotency_key_reused", "The Idempotency-Key was used for another request."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    415: ("invalid_request_error", None, "The content type is not supported: send application/json."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Too many requests: retry later."),
    500: ("server_error", None, "The server failed on this request."),
    501: ("invalid_request_error", "not_supported", "The model does not support this."),
    502: ("server_error", None, "The model's server failed: retry the request."),
    503: ("server_error", "overloaded", "The model is overloaded or not ready: retry later."),
    504: ("server_error", None, "The model took too long: retry later."),
}

_STATUS: Final = {422: 400, 499: 408}
"""Statuses that OpenAI's API does not use, and what it says in their place."""

LOST: Final = 502
"""The status of a request that was lost before its answer began: another replica may answer it."""

ERROR_EVENT: Final = b'data: {"error"'
"""What an event of a stream begins with that says an error."""

RETRY_AFTER_S: Final = 1
"""What a refusal by overload asks clients to wait at least, in seconds."""


_INVALID: Final = re.compile(r"'loc': \(([^)]*)\), 'msg': (?:'([^']*)'|\"([^\"]*)\")")
"""One of the errors that FastAPI's validation lists, as vLLM prints them."""


class Refused(Exception):
    """A request that is not served: the status and what OpenAI's error says (`param` is the field's path)."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, headers: Headers = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple(headers)
        self.body = error_body(status, message, param, code)


def unknown_model(name: str) -> Refused:
    """The refusal of a model that is not served."""
    return Refused(404, f"The model '{name[:128]}' does not exist.", "model", "model_not_found")


def check_method(scope: Scope, wanted: str) -> None:
    """Raises Refused (405) where a request has another method than the one of its route."""
    if scope["method"] != wanted:
        message = f"Not allowed to {scope['method']} on {scope['path'][:200]}: use {wanted}."
        raise Refused(405, message, headers=[(b"allow", wanted.encode())])


def status_of(status: int) -> int:
    """The status that a client gets for `status`: the same, or the one that OpenAI's API has for it."""
    return _STATUS.get(status, status)


def error_body(status: int, message: str | None = None, param: str | None = None, code: str | None = None) -> bytes:
    """The JSON body for `status`; a `message` is redacted, and for 5xx left out in favour of the general one."""
    status = status_of(status)
    kind, usual_code, usual_message = _KINDS.get(status, _KINDS[500] if status >= 500 else _KINDS[400])
    text = redact(message) if message and status < 500 and status != 408 else ""
    error = {"message": text or usual_message, "type": kind, "param": param, "code": code or usual_code}
    return json.dumps({"error": error}, ensure_ascii=True, separators=(",", ":")).encode()


def shaped(status: int, body: bytes) -> bytes:
    """Any error body (ours, vLLM's, FastAPI's) as OpenAI's; idempotent. Of a body that is not JSON nothing is kept."""
    found = _loaded(body)
    if found is None:
        return error_body(status)
    error = found.get("error", found)
    if not isinstance(error, dict):
        return error_body(status, str(error))
    message, param = _validation(error.get("message") or error.get("detail"), error.get("param"))
    code = error.get("code")
    return error_body(
        status,
        message if isinstance(message, str) else None,
        param if isinstance(param, str) else None,
        _code(status, param, code if isinstance(code, str) else None),
    )


def shaped_event(event: bytes) -> bytes:
    """One server-sent event: `data: {"error": …}` in OpenAI's shape, any other as it is (no trailing blank line)."""
    if not event.startswith(ERROR_EVENT):
        return event
    data = event.removeprefix(b"data: ")
    error = (_loaded(data) or {}).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(error, dict) and not isinstance(code, int):
        return event
    return b"data: " + shaped(code if isinstance(code, int) else 500, data)


def _validation(message: Any, param: Any) -> tuple[Any, Any]:
    """vLLM's listing of validation errors, with the client's whole input in it, as `field: what is wrong`."""
    if not isinstance(message, str) or "validation error" not in message:
        return message, param
    found = [(_field(loc), one or other) for loc, one, other in _INVALID.findall(message)]
    if not found:
        return message.partition(": ")[2] or message, _field(param)
    return "; ".join(f"{field}: {text}" if field else text for field, text in found[:4]), found[0][0]


def _field(loc: Any) -> str | None:
    """`messages.0.role` of `'body', 'messages', 0, 'role'` or of `body.messages.0.role`; None where it is no field."""
    parts = re.findall(r"[^\s',.()]+", loc) if isinstance(loc, str) else []
    named = [part for part in parts if part != "body"]
    return ".".join(named) if named and not named[0].isdigit() else None


def _code(status: int, param: Any, code: str | None) -> str | None:
    return "model_not_found" if status == 404 and param == "model" and code is None else code


def _loaded(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
