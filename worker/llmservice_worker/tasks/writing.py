"""summarize, translate, answer, code: one chat request to the engine, whole or streamed."""

import json
from collections.abc import Callable
from typing import Any, Final

from llmservice_worker.args import TEMPLATE_FIELDS
from llmservice_worker.asgi import Message, Send
from llmservice_worker.errors import shaped_event
from llmservice_worker.tasks.answers import Chunk, CodeAnswer, Writing, usage_of, written
from llmservice_worker.tasks.engine import CHAT, Engine, refusal
from llmservice_worker.tasks.requests import Code, WritingRequest

_EVENTS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_DONE: Final = b"[DONE]"


class WritingTask:
    """One request of `task`, with its `prompt`."""

    def __init__(self, task: str, prompt: str, request: WritingRequest) -> None:
        self._task = task
        self._field = TEMPLATE_FIELDS[task][0]
        self._language = request.language if isinstance(request, Code) else None
        options = request.model_dump(include={"model", "max_tokens", "temperature", "seed"}, exclude_none=True)
        self._body = {"messages": [{"role": "user", "content": prompt}], **options}

    async def whole(self, engine: Engine) -> Writing | CodeAnswer:
        """The answer; raises Refused and ClientGone as the engine does."""
        found = await engine.ask(CHAT, self._body, self._field)
        choice = found["choices"][0]
        return self._answer(found["model"], choice["message"]["content"] or "", choice["finish_reason"], found["usage"])

    async def streamed(self, engine: Engine, send: Send) -> None:
        """Send chunks as they come, then the answer, then [DONE]; raises Refused where the engine does not begin."""
        body = {**self._body, "stream": True, "stream_options": {"include_usage": True}}
        stream = _Stream(self._answer, send)
        await engine.stream(CHAT, body, stream.take)
        if stream.status != 200:
            raise refusal(stream.status, stream.rest, self._field)

    def _answer(self, model: str, text: str, reason: str | None, usage: Any) -> Writing | CodeAnswer:
        return written(self._task, model, text, reason, usage_of(usage), self._language)


class _Stream:
    """The engine's answer to a streamed chat request on its way to the client, event by event."""

    def __init__(self, answer: Callable[[str, str, str | None, Any], Writing | CodeAnswer], send: Send) -> None:
        self._answer = answer
        self._send = send
        self.status = 500
        self.rest = b""
        self._text: list[str] = []
        self._last: dict[str, Any] = {}
        self._reason: str | None = None
        self._failed = False

    async def take(self, message: Message) -> None:
        """One ASGI message of the engine's; the body of a refusal is kept in `rest`."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == 200:
                await self._send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        elif message["type"] == "http.response.body":
            self.rest += message.get("body", b"")
            if self.status == 200:
                await self._pass_on(message.get("more_body", False))

    async def _pass_on(self, more: bool) -> None:
        *events, self.rest = self.rest.split(b"\n\n")
        body = b"".join(self._translated(event) for event in events)
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _translated(self, event: bytes) -> bytes:
        """What the client gets for one event of the engine's: nothing, one event, or the answer and the end."""
        data = event.removeprefix(b"data: ")
        if data == _DONE:
            return (b"" if self._failed else _event(self._whole())) + b"data: " + _DONE + b"\n\n"
        if data.startswith(b'{"error"'):
            self._failed = True
            return shaped_event(event) + b"\n\n"
        return self._chunk(json.loads(data)) if data != event else b""

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        self._last = chunk
        if not chunk["choices"]:
            return b""
        choice = chunk["choices"][0]
        self._reason = choice["finish_reason"] or self._reason
        delta = choice["delta"].get("content") or ""
        self._text.append(delta)
        return _event(Chunk(delta=delta)) if delta else b""

    def _whole(self) -> Writing | CodeAnswer:
        return self._answer(self._last["model"], "".join(self._text), self._reason, self._last["usage"])


def _event(answer: Chunk | Writing | CodeAnswer) -> bytes:
    return b"data: " + answer.model_dump_json().encode() + b"\n\n"
