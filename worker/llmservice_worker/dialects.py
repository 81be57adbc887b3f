"""Which shape a route's errors have: OpenAI's, or Anthropic's on its own routes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from llmservice_worker.errors import ERROR_EVENT, error_body, shaped, shaped_event

_ANTHROPIC_PATH: Final = "/v1/messages"
_ANTHROPIC_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_ANTHROPIC_EVENT: Final = b"event: error"


@dataclass(frozen=True)
class Dialect:
    """How errors are said: `body` of a status and any error body; `event` of one event that `mark` is found in."""

    body: Callable[[int, bytes], bytes]
    event: Callable[[bytes], bytes]
    mark: bytes
    broken: bytes
    """The event that ends a stream which broke off, without its blank line."""


def anthropic_body(status: int, body: bytes) -> bytes:
    """Any error body as `{"type": "error", "error": {"type", "message"}}`."""
    message = json.loads(shaped(status, body))["error"]["message"]
    kind = _ANTHROPIC_KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}, separators=(",", ":")).encode()


def _anthropic_event(event: bytes) -> bytes:
    return _ANTHROPIC_BROKEN if event.startswith(_ANTHROPIC_EVENT) else event


_ANTHROPIC_BROKEN: Final = _ANTHROPIC_EVENT + b"\ndata: " + anthropic_body(500, b"")

OPENAI: Final = Dialect(shaped, shaped_event, ERROR_EVENT, b"data: " + error_body(500))
ANTHROPIC: Final = Dialect(anthropic_body, _anthropic_event, _ANTHROPIC_EVENT, _ANTHROPIC_BROKEN)


def dialect_of(path: str) -> Dialect:
    """The dialect of the route at `path`."""
    is_anthropic = path == _ANTHROPIC_PATH or path.startswith(_ANTHROPIC_PATH + "/")
    return ANTHROPIC if is_anthropic else OPENAI
