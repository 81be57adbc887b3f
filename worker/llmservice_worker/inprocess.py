"""Requests to an ASGI app in this process: no socket, and the client's disconnect ends them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from llmservice_worker.asgi import App, Headers, Message, Send
from llmservice_worker.body import ClientGone, dumped


async def call(
    app: App, path: str, body: Mapping[str, Any], send: Send, headers: Headers = (), gone: asyncio.Event | None = None
) -> None:
    """POST JSON to `app`; its messages go to `send`. Set `gone` when the client left: the app then stops its work."""
    await _call(app, path, dumped(body), "application/json", send, headers, gone)


async def _call(
    app: App, path: str, content: bytes, kind: str, send: Send, headers: Headers, gone: asyncio.Event | None
) -> None:
    requests: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    left = gone or asyncio.Event()

    async def receive() -> Message:
        if not requests:
            await left.wait()
            return {"type": "http.disconnect"}
        return requests.pop()

    own = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
    await app(_scope(path, [*headers, *own]), receive, send)


async def post(
    app: App, path: str, body: Mapping[str, Any], headers: Headers = (), gone: asyncio.Event | None = None
) -> tuple[int, bytes]:
    """POST JSON to `app`; the status (500 where it says none) and the whole body. Raises ClientGone after `gone`."""
    answer = _Answer()
    await call(app, path, body, answer.hear, headers, gone)
    if gone is not None and gone.is_set():
        raise ClientGone
    return answer.status, bytes(answer.body)


async def post_bytes(app: App, path: str, content: bytes, kind: str) -> tuple[int, bytes]:
    """POST `content`, whose content type is `kind`; else as `post`."""
    answer = _Answer()
    await _call(app, path, content, kind, answer.hear, (), None)
    return answer.status, bytes(answer.body)


class _Answer:
    """A whole answer."""

    def __init__(self) -> None:
        self.status = 500
        self.body = bytearray()

    async def hear(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def _scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
