"""Warm before ready: real short generations through the engine's HTTP app, before the replica counts as up.

What a first request pays otherwise: first forward passes, the chat template's compilation, the tokenizer's and the
detokenizer's first use, request models built by pydantic on first validation, and lazily imported modules.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from llmservice_worker.asgi import App
from llmservice_worker.inprocess import post

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
