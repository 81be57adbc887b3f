"""ASGI apps and a client for the tests: what the engine's HTTP app may do, and what a client then gets."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmservice_worker.asgi import App, Message, Receive, Scope, Send


@dataclass
class Answer:
    """What a client received."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False

    @property
    def error(self) -> dict[str, Any]:
        return error_of(self.body)


def error_of(body: bytes) -> dict[str, Any]:
    """The error of a body in OpenAI's shape."""
    found = json.loads(body)
    assert set(found) == {"error"}
    assert set(found["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = found["error"]
    return error


async def ask(
    app: App,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    kind: str = "http",
    body: bytes = b"{}",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:
    """One request to `app`."""
    answer = Answer()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        assert not answer.ended, "nothing may follow the end"
        if message["type"] == "http.response.start":
            assert answer.status == 0, "a response starts once"
            answer.status = message["status"]
            answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
            answer.ended = not message.get("more_body", False)

    await app({"type": kind, "method": method, "path": path, "headers": list(headers)}, receive, send)
    return answer


def replies(status: int, *chunks: bytes, content_type: bytes = b"application/json", ends: bool = True) -> App:
    """An app that answers in those chunks; `ends`: whether it says that it is done."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", content_type), (b"x-request-id", b"r1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for index, chunk in enumerate(chunks):
            last = ends and index == len(chunks) - 1
            await send({"type": "http.response.body", "body": chunk, "more_body": not last})

    return app


def raises(error: Exception, after: App | None = None) -> App:
    """An app that fails, after it has answered as `after`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after is not None:
            await after(scope, receive, send)
        raise error

    return app


async def says_nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An app that returns without an answer."""
    await asyncio.sleep(0)
