"""Requests to an ASGI app in this process: no socket, and the client's disconnect ends them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from llmservice_worker.asgi import App, Headers, Message, Send


class Disconnected(Exception):
    """The client of the outer request went; nobody reads an answer."""


async def call(
    app: App, path: str, body: Mapping[str, Any], send: Send, headers: Headers = (), gone: asyncio.Event | None = None
) -> None:
    """POST JSON to `app`; its messages go to `send`. Set `gone` when the client left: the app then stops its work."""
    content = json.dumps(body).encode()
    requests: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    left = gone or asyncio.Event()

    async def receive() -> Message:
        if not requests:
            await left.wait()
            return {"type": "http.disconnect"}
        return requests.pop()

    own = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await app(_scope(path, [*headers, *own]), receive, send)


async def post(
    app: App, path: str, body: Mapping[str, Any], headers: Headers = (), gone: asyncio.Event | None = None
) -> tuple[int, bytes]:
    """POST JSON to `app`; the status (500 where it says none) and the whole body. Raises Disconnected after `gone`."""
    status = 500
    answer: list[bytes] = []

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            answer.append(message.get("body", b""))

    await call(app, path, body, send, headers, gone)
    if gone is not None and gone.is_set():
        raise Disconnected
    return status, b"".join(answer)


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
