"""The engine's HTTP app as the tasks ask it: in this process, for one request of a client."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmservice_worker.asgi import App, Headers, Message, Send
from llmservice_worker.body import ClientGone
from llmservice_worker.errors import Refused, shaped
from llmservice_worker.inprocess import call, post

_OWN_PARAMS: Final = frozenset({"model", "max_tokens", "temperature", "seed"})
"""What the engine calls as the request of a task does; whatever else it finds wrong is the text's fault."""

TOKENIZE: Final = "/tokenize"
CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"

_ONCE: Final = b"idempotency-key"
"""It stands for one request to the engine: that which does the work."""

_NOT_PASSED_ON: Final = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"accept-encoding"})


@dataclass(frozen=True)
class Engine:
    """The engine's `app`, with the `headers` of the client's request.

    `gone` is set when the client is; `accepted` is called when the engine begins to answer well.
    """

    app: App
    headers: Headers
    gone: asyncio.Event
    accepted: Callable[[], None]

    async def ask(self, path: str, body: Mapping[str, Any], field: str) -> dict[str, Any]:
        """The engine's answer; raises Refused, which names `field` where the prompt is at fault, and ClientGone."""
        headers = [pair for pair in self.headers if pair[0].lower() != _ONCE] if path == TOKENIZE else self.headers
        status, answer = await post(self.app, path, body, headers, self.gone)
        if status != 200:
            raise refusal(status, answer, field)
        self.accepted()
        found: dict[str, Any] = json.loads(answer)
        return found

    async def stream(self, path: str, body: Mapping[str, Any], send: Send) -> None:
        """Let the engine answer to `send`; raises ClientGone where the client left meanwhile."""

        async def heard(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self.accepted()
            await send(message)

        await call(self.app, path, body, heard, self.headers, self.gone)
        if self.gone.is_set():
            raise ClientGone


def passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    """A client's headers without those of its body: request id, key id and trace stay."""
    return [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON]


def refusal(status: int, body: bytes, field: str) -> Refused:
    """The engine's error as the client's: one about its prompt names `field`, which the prompt came from."""
    error = json.loads(shaped(status, body))["error"]
    param = error["param"] if error["param"] in _OWN_PARAMS else field
    return Refused(status, error["message"], param if status < 500 else None, error["code"])
