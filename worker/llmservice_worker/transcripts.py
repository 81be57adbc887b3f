"""What an audio route answers, as OpenAI's API has it where vLLM's differs: plain text, and the events of a stream."""

import json
from typing import Any, Final

from llmservice_worker.asgi import Message, Send, header
from llmservice_worker.requests.transcription import TranscriptionForm

_REPLACED: Final = (b"content-length", b"content-type")
_DATA: Final = b"data: "
_DONE: Final = b"data: [DONE]"
_GAP: Final = b"\n\n"


def in_openais_shape(send: Send, form: TranscriptionForm) -> Send:
    """A `send` for the engine's answer to `form`; what is no success passes as it is."""
    if form.stream:
        return _Events(send)
    return _Text(send) if form.response_format == "text" else send


class _Text:
    """The text of a JSON answer, for `response_format=text`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_text(self._start)

    async def _send_text(self, start: Message) -> None:
        text = json.loads(self._body)["text"].encode()
        kept = [pair for pair in start["headers"] if pair[0].lower() not in _REPLACED]
        own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
        await self._send({**start, "headers": [*own, *kept]})
        await self._send({"type": "http.response.body", "body": text, "more_body": False})


class _Events:
    """`transcript.text.delta` for each chunk and `transcript.text.done` at the end; an error's event as it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_stream = False
        self._rest = b""
        self._texts: list[str] = []
        self._usage: dict[str, Any] | None = None
        self._failed = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_stream = header(message["headers"], b"content-type").startswith(b"text/event-stream")
        elif self._is_stream:
            *events, self._rest = (self._rest + message.get("body", b"")).split(_GAP)
            message = {**message, "body": b"".join(event + _GAP for each in events for event in self._said(each))}
        await self._send(message)

    def _said(self, event: bytes) -> list[bytes]:
        if event == _DONE:
            return [event] if self._failed else [self._done(), event]
        chunk = json.loads(event.removeprefix(_DATA))
        if "choices" not in chunk:
            self._failed = True
            return [event]
        self._usage = chunk.get("usage") or self._usage
        text = "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
        if not text:
            return []
        self._texts.append(text)
        return [_event({"type": "transcript.text.delta", "delta": text})]

    def _done(self) -> bytes:
        said: dict[str, Any] = {"type": "transcript.text.done", "text": "".join(self._texts)}
        if self._usage is not None:
            given, written = self._usage["prompt_tokens"], self._usage["completion_tokens"]
            numbers = {"input_tokens": given, "output_tokens": written, "total_tokens": given + written}
            said["usage"] = {"type": "tokens", **numbers}
        return _event(said)


def _event(value: dict[str, Any]) -> bytes:
    return _DATA + json.dumps(value, separators=(",", ":")).encode()
