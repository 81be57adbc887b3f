"""Warm before ready: real short generations through the engine's HTTP app, before the replica counts as up.

What a first request pays otherwise: first forward passes, the chat template's compilation, the tokenizer's and the
detokenizer's first use, request models built by pydantic on first validation, and lazily imported modules.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from llmservice_worker.asgi import App, Message

_PROMPT: Final = "Warm-up: answer with one word."


class NotWarm(RuntimeError):
    """The engine is up but does not generate; the message says what it answered."""


async def warm_up(app: App, model: str) -> list[float]:
    """Generate through `app` (chat, streamed chat, completion); raises NotWarm where the engine cannot generate.

    Returns the seconds that each took. A model without a chat template refuses chat with a 4xx: only completions
    must work.
    """
    took: list[float] = []
    chat = {"model": model, "messages": [{"role": "user", "content": _PROMPT}], "max_tokens": 8, "temperature": 0.7}
    for body in (chat, {**chat, "stream": True, "stream_options": {"include_usage": True}}):
        status, answer = await _timed(took, app, "/v1/chat/completions", body)
        if status >= 500:
            raise NotWarm(f"a first chat request was answered with {status}: {answer[:300]!r}")
    completion = {"model": model, "prompt": _PROMPT, "max_tokens": 8, "temperature": 0}
    status, answer = await _timed(took, app, "/v1/completions", completion)
    if status != 200:
        raise NotWarm(f"a first completion request was answered with {status}: {answer[:300]!r}")
    return took


async def _timed(took: list[float], app: App, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
    begun = time.monotonic()
    answer = await post(app, path, body)
    took.append(time.monotonic() - begun)
    return answer


async def post(app: App, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
    """POST JSON to an ASGI app in this process; the status and the whole body."""
    content = json.dumps(body).encode()
    requests: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    status = 500
    answer: list[bytes] = []

    async def receive() -> Message:
        if not requests:
            await asyncio.Event().wait()  # a client that stays: a disconnect would abort the generation
        return requests.pop()

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            answer.append(message.get("body", b""))

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await app(_scope(path, headers), receive, send)
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
        "headers": [(b"host", b"warm-up"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
