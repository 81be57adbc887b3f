"""Warm before ready: real short requests of each task through the engine's HTTP app, before the replica counts as up.

What a first request pays otherwise: first forward passes, the chat template's compilation, the tokenizer's and the
detokenizer's first use, request models built by pydantic on first validation, and lazily imported modules.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from llmservice_worker.args import Task
from llmservice_worker.asgi import App
from llmservice_worker.inprocess import post, post_bytes
from llmservice_worker.silent_clip import silent_form

_PROMPT: Final = "Warm-up: answer with one word."
_TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
_CHAT: Final = {"messages": [{"role": "user", "content": _PROMPT}], "max_tokens": 8, "temperature": 0.7}
_COMPLETION: Final = {"prompt": _PROMPT, "max_tokens": 8, "temperature": 0}

_Least = Literal["success", "no failure"]
_REQUESTS: Final[Mapping[Task, Sequence[tuple[str, Mapping[str, Any], _Least]]]] = {
    "generate": (
        ("/v1/chat/completions", _CHAT, "no failure"),
        ("/v1/chat/completions", {**_CHAT, "stream": True, "stream_options": {"include_usage": True}}, "no failure"),
        ("/v1/completions", _COMPLETION, "success"),
    ),
    "embed": (("/v1/embeddings", {"input": _PROMPT}, "success"),),
    "score": (("/v1/score", {"text_1": _PROMPT, "text_2": _PROMPT}, "success"),),
    "classify": (("/classify", {"input": _PROMPT}, "success"),),
    "transcribe": (),
}
"""Paths that both the engine's app and the one before it know."""


class NotWarm(RuntimeError):
    """The engine is up but does not generate; the message says what it answered."""


async def warm_up(app: App, model: str, tasks: Sequence[Task] = ("generate",)) -> list[float]:
    """Ask `app` for each of `tasks` as clients will; raises NotWarm where the engine does not answer.

    Returns the seconds that each request took. A model without a chat template refuses chat with a 4xx: only
    completions must work.
    """
    took: list[float] = []
    for task in tasks:
        for path, body, least in _REQUESTS[task]:
            status, answer = await _timed(took, app, path, {"model": model, **body})
            if status >= 500 or (status != 200 and least == "success"):
                raise NotWarm(f"a first request to {path} was answered with {status}: {answer[:300]!r}")
    if "transcribe" in tasks:
        took.append(await _transcribe_silence(app, model))
    return took


async def _transcribe_silence(app: App, model: str) -> float:
    """The seconds that a second of silence took."""
    begun = time.monotonic()
    status, answer = await post_bytes(app, _TRANSCRIPTIONS, *silent_form(model))
    if status != 200:
        raise NotWarm(f"a first request to {_TRANSCRIPTIONS} was answered with {status}: {answer[:300]!r}")
    return time.monotonic() - begun


async def _timed(took: list[float], app: App, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
    begun = time.monotonic()
    answer = await post(app, path, body)
    took.append(time.monotonic() - begun)
    return answer
