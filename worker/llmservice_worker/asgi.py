"""The few ASGI types and the one reply that the worker's own routes and refusals are made of."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


async def reply_json(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send one whole JSON response."""
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def header(headers: Headers, name: bytes) -> bytes:
    """The value of the first header of that (lower-case) name; empty where there is none."""
    return next((value for key, value in headers if key.lower() == name), b"")
