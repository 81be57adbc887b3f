"""The run's one fake: an engine behind the interface of vLLM's client, that keeps a book of what it handed over.

Around it is as much of an HTTP app as vLLM's: chat completions, whole or streamed, and embeddings; a client that
leaves ends its generation.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from llmservice_worker.asgi import Receive, Scope, Send, header, reply_json
from llmservice_worker.body import JSON_BYTES, read
from llmservice_worker.usage.metered import current_tally
from tests.unit.worker.usage.outputs import Output, output

Json = dict[str, Any]
Tokens = tuple[int, int]
"""Of a prompt, and of its completion."""

TOKEN_S: Final = 0.002
"""How long the engine takes for a token of a completion."""
AT_ONCE: Final = 3
"""Tokens of a stream that are handed over together, at most."""


class OutputKind(Enum):
    """vLLM's names for what an output holds."""

    DELTA = 1
    FINAL_ONLY = 2


@dataclass(frozen=True)
class SamplingParams:
    """As much of vLLM's as the engine's client is told."""

    max_tokens: int
    output_kind: OutputKind


class Book:
    """What was handed over, by event: a line an output, written before the output is handed over."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, event: str, prompt: int, completion: int) -> None:
        """One output's tokens."""
        os.write(self._descriptor, f"{event} {prompt} {completion}\n".encode())


def read_book(path: Path) -> dict[str, Tokens]:
    """Tokens handed over by event id."""
    found: dict[str, Tokens] = {}
    for line in path.read_text().splitlines():
        event, prompt, completion = line.split()
        before = found.get(event, (0, 0))
        found[event] = before[0] + int(prompt), before[1] + int(completion)
    return found


class Engine:
    """As vLLM's AsyncLLM: it is called within the request, its outputs are read wherever."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def generate(
        self, prompt: list[int], sampling_params: SamplingParams, request_id: str
    ) -> AsyncGenerator[Output, None]:
        """The completion, in pieces or at its end."""
        assert request_id
        streams = sampling_params.output_kind is OutputKind.DELTA
        return self._generated(_event(), len(prompt), sampling_params.max_tokens, AT_ONCE if streams else None)

    def encode(self, prompt: list[int], request_id: str) -> AsyncGenerator[Output, None]:
        """One output, without a completion."""
        assert request_id
        return self._encoded(_event(), len(prompt))

    async def _generated(self, event: str, prompt: int, tokens: int, at_once: int | None) -> AsyncGenerator[Output]:
        left, unwritten = tokens, prompt
        while left:
            count = min(left, at_once or left)
            await asyncio.sleep(count * TOKEN_S)
            self._book.write(event, unwritten, count)
            left, unwritten = left - count, 0
            yield output(count, prompt=prompt, cached=prompt // 2)

    async def _encoded(self, event: str, prompt: int) -> AsyncGenerator[Output, None]:
        await asyncio.sleep(TOKEN_S)
        self._book.write(event, prompt, 0)
        yield output(prompt=prompt)


class EngineApp:
    """The engine's HTTP app; `client` is asked for its methods at each call, as they may be wrapped meanwhile."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one validated request."""
        body = json.loads(await read(receive, JSON_BYTES))
        name = header(scope["headers"], b"x-request-id").decode()
        if scope["path"] == "/v1/embeddings":
            answering = self._embed(body, name, send)
        elif body.get("stream"):
            answering = self._stream(body, name, send)
        else:
            answering = self._complete(body, name, send)
        await _while_there(answering, receive)

    async def _embed(self, body: Json, name: str, send: Send) -> None:
        prompt = _tokens(body["input"])
        async with aclosing(self._client.encode(prompt, name)) as outputs:
            async for _ in outputs:
                data = [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}]
                usage = {"prompt_tokens": len(prompt), "total_tokens": len(prompt)}
                said = {"object": "list", "model": body["model"], "data": data, "usage": usage}
                await reply_json(send, 200, json.dumps(said).encode())

    async def _complete(self, body: Json, name: str, send: Send) -> None:
        async with aclosing(self._outputs(body, name, OutputKind.FINAL_ONLY)) as outputs:
            async for each in outputs:
                count = len(each.outputs[0].token_ids)
                message = {"role": "assistant", "content": "a " * count}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                said = _object(body, name, "chat.completion", [choice]) | _usage(body, count)
                await reply_json(send, 200, json.dumps(said).encode())

    async def _stream(self, body: Json, name: str, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        written = 0
        async with aclosing(self._outputs(body, name, OutputKind.DELTA)) as outputs:
            async for each in outputs:
                count = len(each.outputs[0].token_ids)
                written += count
                choice = {"index": 0, "delta": {"content": "a " * count}, "finish_reason": None}
                await _send_event(send, json.dumps(_object(body, name, "chat.completion.chunk", [choice])))
        last = _object(body, name, "chat.completion.chunk", []) | _usage(body, written)
        await _send_event(send, json.dumps(last))
        await _send_event(send, "[DONE]", is_last=True)

    def _outputs(self, body: Json, name: str, kind: OutputKind) -> AsyncGenerator[Output, None]:
        found: AsyncGenerator[Output, None] = self._client.generate(
            _prompt(body), SamplingParams(body["max_tokens"], kind), name
        )
        return found


async def _while_there(answering: Awaitable[None], receive: Receive) -> None:
    """As vLLM's handlers: an answer to a client that left is given up."""
    answer, leaving = asyncio.ensure_future(answering), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait([answer, leaving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        answer.cancel()
        with suppress(asyncio.CancelledError):
            await answer


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_event(send: Send, data: str, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": not is_last})


def _event() -> str:
    """The id of the event that the present request will make."""
    tally = current_tally()
    assert tally is not None, "the engine is asked outside of a request"
    return tally.id


def _object(body: Json, name: str, kind: str, choices: list[Json]) -> Json:
    return {"id": f"chatcmpl-{name}", "object": kind, "created": 1, "model": body["model"], "choices": choices}


def _usage(body: Json, completion: int) -> Json:
    prompt = len(_prompt(body))
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"usage": usage}


def _prompt(body: Json) -> list[int]:
    return _tokens(body["messages"][0]["content"])


def _tokens(text: str) -> list[int]:
    """A token a word."""
    return [0] * len(text.split())
