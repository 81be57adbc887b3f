"""The outermost place of an ASGI app: whatever fails inside leaves it in OpenAI's shape, or as one error event."""

import logging
from collections.abc import Callable
from typing import Final

from llmservice_worker.asgi import App, Message, Receive, Scope, Send, header, reply_json
from llmservice_worker.dialects import Dialect, dialect_of
from llmservice_worker.errors import LOST, RETRY_AFTER_S, error_body, status_of

_log = logging.getLogger(__name__)
_LONGEST_ERROR: Final = 64 * 1024
_REPLACED: Final = (b"content-length", b"content-type", b"transfer-encoding")
_RETRYABLE: Final = (429, LOST, 503)


class ErrorShaping:
    """Wraps `app`: shapes its error responses, answers `broken` (a status) where it gives none or raises.

    While `unavailable()` every 5xx is a 502, which the gateway repeats elsewhere.

    A stream that breaks off gets exactly one error event and its end; one that has sent its end gets nothing more.
    """

    def __init__(self, app: App, broken: int = 500, unavailable: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._broken = broken
        self._unavailable = unavailable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection; anything but HTTP passes through (lifespan) or is closed (websocket)."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        reply = _Reply(send, self._unavailable, dialect_of(scope["path"]))
        try:
            await self._app(scope, receive, reply.send)
        except Exception:  # noqa: BLE001 - the one place that turns the unknown into a bare 5xx
            _log.exception("request failed: %s %s", scope.get("method"), scope.get("path"))
        return await reply.finish(self._broken)


class _Reply:
    """One response on its way out: an error's body is held back until it is whole and can be shaped."""

    def __init__(self, send: Send, unavailable: Callable[[], bool], dialect: Dialect) -> None:
        self._send = send
        self._dialect = dialect
        self._unavailable = unavailable
        self._held: Message | None = None
        self._body = b""
        self._started = False
        self._ended = False
        self._events = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        elif message["type"] == "http.response.body" and not self._ended:
            await self._send_body(message)

    async def finish(self, broken: int) -> None:
        """End what the app left open: nothing said → `broken`; a held error → shaped; a stream → one error event."""
        if self._ended:
            return
        if self._held is not None:
            await self._send_held()
        elif not self._started:
            status = self._status(broken)
            body = self._dialect.body(status, error_body(status))
            await reply_json(self._send, status, body, _retry_after(status))
        elif self._events:
            event = self._dialect.broken + b"\n\n"
            await self._send({"type": "http.response.body", "body": event, "more_body": False})

    async def _start(self, message: Message) -> None:
        if message["status"] >= 400:
            self._held = message
            return
        self._started = True
        self._events = header(message.get("headers", ()), b"content-type").startswith(b"text/event-stream")
        await self._send(message)

    async def _send_body(self, message: Message) -> None:
        self._ended = not message.get("more_body", False)
        if self._held is not None:
            self._body = (self._body + message.get("body", b""))[:_LONGEST_ERROR]
            if self._ended:
                await self._send_held()
            return
        if self._events and self._dialect.mark in message.get("body", b""):
            events = [self._dialect.event(event) for event in message["body"].split(b"\n\n")]
            message = {**message, "body": b"\n\n".join(events)}
        await self._send(message)

    async def _send_held(self) -> None:
        assert self._held is not None
        status = self._status(self._held["status"])
        headers = [pair for pair in self._held.get("headers", ()) if pair[0].lower() not in _REPLACED]
        if not header(headers, b"retry-after"):
            headers += _retry_after(status)
        await reply_json(self._send, status, self._dialect.body(status, self._body), headers)

    def _status(self, status: int) -> int:
        return LOST if status >= 500 and self._unavailable() else status_of(status)


def _retry_after(status: int) -> list[tuple[bytes, bytes]]:
    return [(b"retry-after", str(RETRY_AFTER_S).encode())] if status in _RETRYABLE else []
