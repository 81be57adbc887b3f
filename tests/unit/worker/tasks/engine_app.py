"""A stand-in for the engine's HTTP app, narrow: it tokenizes by characters, and writes or scores as told."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from llmservice_worker.asgi import App, Message, Receive, Scope, Send, reply_json
from llmservice_worker.body import ClientGone
from llmservice_worker.errors import Refused
from tests.unit.worker.asgi_apps import Answer

Json = dict[str, Any]

CLIENT = [(b"x-request-id", b"r7"), (b"traceparent", b"t7"), (b"idempotency-key", b"i7")]
"""Headers of the client's request beside those of its body."""


class Engine:
    """`says` is what chat answers; `likes(token, prompt)` is the log-probability of a token after a prompt."""

    def __init__(self, says: str = "", likes: Callable[[str, str], float] = lambda _token, _prompt: -1.0) -> None:
        self.asked: list[tuple[str, Json]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self._says = says
        self._likes = likes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        self.asked.append((scope["path"], body))
        self.headers.append(dict(scope["headers"]))
        if scope["path"] == "/tokenize":
            return await reply_json(send, 200, _json({"tokens": [ord(letter) for letter in _text(body)]}))
        if scope["path"] == "/v1/completions":
            return await reply_json(send, 200, _json(self._scored(body)))
        if body.get("stream"):
            return await self._stream(body, send)
        message = {"message": {"content": self._says}, "finish_reason": "stop"}
        return await reply_json(send, 200, _json({"model": body["model"], "choices": [message], "usage": usage(9, 4)}))

    def chats(self) -> list[Json]:
        """The bodies of the chat requests."""
        return [body for path, body in self.asked if path == "/v1/chat/completions"]

    def _scored(self, body: Json) -> Json:
        prompts = ["".join(map(chr, prompt)) for prompt in body["prompt"]]
        choices = [{"index": index, "prompt_logprobs": self._logprobs(text)} for index, text in enumerate(prompts)]
        total = sum(map(len, prompts))
        # In another order than asked: `index` says which is which.
        return {"model": body["model"], "choices": choices[::-1], "usage": usage(total, len(prompts))}

    def _logprobs(self, text: str) -> list[Json | None]:
        return [None] + [
            {str(ord(text[at])): {"logprob": self._likes(text[at], text[:at])}} for at in range(1, len(text))
        ]

    async def _stream(self, body: Json, send: Send) -> None:
        chunks: list[Json] = [{"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}]
        chunks += [{"choices": [{"delta": {"content": letter}, "finish_reason": None}]} for letter in self._says]
        chunks += [{"choices": [{"delta": {}, "finish_reason": "length"}]}, {"choices": [], "usage": usage(9, 4)}]
        events = b"".join(b"data: " + _json({"model": body["model"], **chunk}) + b"\n\n" for chunk in chunks)
        await streams(send, events + b"data: [DONE]\n\n")


async def streams(send: Send, events: bytes, piece: int = 37) -> None:
    """`events` as a 200, cut anywhere."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for at in range(0, len(events), piece):
        await send({"type": "http.response.body", "body": events[at : at + piece], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def usage(prompt: int, completion: int) -> Json:
    """As the engine counts."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def ask(
    app: App, task: str, body: Json | bytes, method: str = "POST", leaves: asyncio.Event | None = None
) -> Answer:
    """One request of a client that stays until it is answered, or disconnects when `leaves` is set.

    What the app raises is answered as the replica's ingress does.
    """
    answer = Answer()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    half = len(content) // 2
    messages: list[Message] = [
        {"type": "http.request", "body": content[half:], "more_body": False},
        {"type": "http.request", "body": content[:half], "more_body": True},
    ]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await (leaves or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        assert not answer.ended, "nothing may follow the end"
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            answer.body += message["body"]
            answer.ended = not message["more_body"]

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *CLIENT]
    scope = {"type": "http", "method": method, "path": f"/v1/tasks/{task}", "headers": headers}
    try:
        await app(scope, receive, send)
    except Refused as refused:
        await reply_json(send, refused.status, refused.body, refused.headers)
    except ClientGone:
        answer.ended = True
    return answer


def _text(body: Json) -> str:
    return body["prompt"] if "prompt" in body else f"<user>{body['messages'][0]['content']}<assistant>"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
