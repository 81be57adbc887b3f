"""What is said of each request: ids, status, times and how it ended; never a word of its prompt or its answer.

`AccessLog` stands around everything else of the replica's app, so that refusals and failures are said too, and each
answer bears `x-request-id` and `openai-processing-ms`.
"""

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from llmservice_worker.asgi import App, Message, Receive, Scope, Send, header
from llmservice_worker.dialects import dialect_of

Outcome = Literal["completed", "client_left", "error"]

REQUEST_ID: Final = b"x-request-id"
KEY_ID: Final = b"x-llmservice-key-id"
ROUTE: Final = b"x-llmservice-route"
PROCESSING_MS: Final = b"openai-processing-ms"

_MODEL: Final = "llmservice.model"
_LONGEST: Final = 256
"""Characters of anything that came with the request: a line must stay one write to a pipe."""
_OURS: Final = (REQUEST_ID, PROCESSING_MS)
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What the gateway takes for a request's id."""
_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What the ledger takes for a key's id; an event with another would be refused, and its request cost nobody."""


@dataclass(frozen=True)
class Access:
    """One request that has ended. Times are in milliseconds; `status` None: the client left before there was one.

    `ttft_ms` is the time to the first event of a stream, None where there was no stream.
    """

    request_id: str
    key_id: str
    route: str
    method: str
    path: str
    model: str
    status: int | None
    duration_ms: float
    ttft_ms: float | None
    stream: bool
    outcome: Outcome


def note_model(scope: Scope, name: str) -> None:
    """Say which model a request is for, once its name is known to be one of ours; for the layers inside."""
    scope[_MODEL] = name


def noted_model(scope: Scope) -> str:
    """What was noted so; empty where nothing was."""
    return str(scope.get(_MODEL, ""))


def line(access: Access, now: datetime) -> str:
    """The request as one line of JSON."""
    level = "error" if access.outcome == "error" else "info"
    head = {"time": now.isoformat(timespec="milliseconds"), "level": level, "logger": "llmservice.access"}
    return json.dumps(head | asdict(access), separators=(",", ":"))


def lines(
    write: Callable[[str], object], now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Callable[[Access], None]:
    """What writes each request as a line of JSON, without the line's end."""

    def written(access: Access) -> None:
        write(line(access, now()))

    return written


class AccessLog:
    """Wraps `app`; `heard` are told of each request when it has ended. `clock` counts seconds."""

    def __init__(self, app: App, heard: Sequence[Callable[[Access], None]], clock: Callable[[], float]) -> None:
        self._app = app
        self._heard = heard
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        exchange = _Exchange(scope, receive, send, self._clock)
        try:
            return await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            exchange.left = True
            raise
        finally:
            access = exchange.ended(scope)
            for heard in self._heard:
                heard(access)


class _Exchange:
    """One request and what passes by of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, clock: Callable[[], float]) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        self._begun = clock()
        self._headers = list(scope["headers"])
        given = _text(self._headers, REQUEST_ID)
        self._id = given if _ID.fullmatch(given) else f"req_{uuid.uuid4()}"
        self._status: int | None = None
        self._stream = False
        self._first: float | None = None
        self._over = self._failed = self.left = False
        self._mark = dialect_of(str(scope["path"])).mark
        # vLLM names a request after the header.
        kept = [pair for pair in self._headers if pair[0] != REQUEST_ID]
        scope["headers"] = [*kept, (REQUEST_ID, self._id.encode("latin-1"))]

    async def receive(self) -> Message:
        message = await self._receive()
        self.left = self.left or (message["type"] == "http.disconnect" and not self._over)
        return message

    async def send(self, message: Message) -> None:
        if self.left:  # an error event, or an answer, that reaches nobody
            return await self._send(message)
        if message["type"] == "http.response.start":
            message = self._started(message)
        elif message["type"] == "http.response.body":
            self._see(message)
        try:
            return await self._send(message)
        except OSError:
            self.left = True
            raise

    def ended(self, scope: Scope) -> Access:
        key_id = _text(self._headers, KEY_ID)
        return Access(
            request_id=self._id,
            key_id=key_id if _KEY.fullmatch(key_id) else "",
            route=_text(self._headers, ROUTE),
            method=str(scope["method"])[:16],
            path=str(scope["path"])[:_LONGEST],
            model=noted_model(scope),
            status=self._status,
            duration_ms=self._since_begun(),
            ttft_ms=self._first,
            stream=self._stream,
            outcome=self._outcome(),
        )

    def _started(self, message: Message) -> Message:
        self._status = int(message["status"])
        headers = [pair for pair in message.get("headers", ()) if pair[0].lower() not in _OURS]
        self._stream = header(headers, b"content-type").startswith(b"text/event-stream")
        taken = str(round(self._since_begun())).encode()
        return {**message, "headers": [*headers, (REQUEST_ID, self._id.encode("latin-1")), (PROCESSING_MS, taken)]}

    def _see(self, message: Message) -> None:
        body = message.get("body", b"")
        self._over = not message.get("more_body", False)
        if not self._stream or not body:
            return
        if self._first is None:
            self._first = self._since_begun()
        self._failed = self._failed or body.startswith(self._mark) or b"\n" + self._mark in body

    def _outcome(self) -> Outcome:
        if self.left and not self._over:
            return "client_left"
        good = self._over and not self._failed and self._status is not None and self._status < 500
        return "completed" if good else "error"

    def _since_begun(self) -> float:
        return round((self._clock() - self._begun) * 1000, 1)


def _text(headers: Any, name: bytes) -> str:
    return str(header(headers, name).decode("latin-1"))[:_LONGEST]
