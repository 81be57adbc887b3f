"""The engine's HTTP app as the tasks ask it: in this process, for one request of a client."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmservice_worker.asgi import App, Headers, Send
from llmservice_worker.errors import error_body, shaped
from llmservice_worker.inprocess import call, post

_OWN_PARAMS: Final = frozenset({"model", "max_tokens", "temperature", "seed"})
"""What the engine calls as the request of a task does; whatever else it finds wrong is the text's fault."""

_NOT_PASSED_ON: Final = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"accept-encoding"})


class Refused(Exception):
    """The engine did not do it: what the client is answered."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Engine:
    """The engine's `app`, with the `headers` of the client's request; `gone` is set when the client is."""

    app: App
    headers: Headers
    gone: asyncio.Event

    async def ask(self, path: str, body: Mapping[str, Any], field: str) -> dict[str, Any]:
        """The engine's answer; raises Refused, which names `field` where the prompt is at fault, and Disconnected."""
        status, answer = await post(self.app, path, body, self.headers, self.gone)
        if status != 200:
            raise Refused(status, about(status, answer, field))
        found: dict[str, Any] = json.loads(answer)
        return found

    async def stream(self, path: str, body: Mapping[str, Any], send: Send) -> None:
        """Let the engine answer to `send`."""
        await call(self.app, path, body, send, self.headers, self.gone)


def passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    """A client's headers without those of its body: request id, key id and trace stay."""
    return [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON]


def about(status: int, body: bytes, field: str) -> bytes:
    """The engine's error in OpenAI's shape; one about its prompt names `field`, which the prompt came from."""
    error = json.loads(shaped(status, body))["error"]
    param = error["param"] if error["param"] in _OWN_PARAMS else field
    return error_body(status, error["message"], param if status < 500 else None, error["code"])
