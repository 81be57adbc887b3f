"""vLLM's answers to audio routes, and what OpenAI's client gets of them."""

import json
from typing import Any

import pytest

from llmservice_worker.asgi import App, Receive, Scope, Send
from llmservice_worker.requests.transcription import TranscriptionForm
from llmservice_worker.transcripts import in_openais_shape
from tests.unit.worker.asgi_apps import Answer, ask, replies

EVENTS = b"text/event-stream; charset=utf-8"


async def answered(engine: App, **fields: Any) -> Answer:
    form = TranscriptionForm(model="m", **fields)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await engine(scope, receive, in_openais_shape(send, form))

    return await ask(app)


def chunk(text: str, **more: Any) -> bytes:
    choices = [{"delta": {"content": text}}]
    return b"data: " + json.dumps({"object": "transcription.chunk", "choices": choices, **more}).encode() + b"\n\n"


def events(answer: Answer) -> list[Any]:
    *found, rest = answer.body.split(b"\n\n")
    assert rest == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in found if event != b"data: [DONE]"]


@pytest.mark.parametrize("wanted", [None, "json", "verbose_json"])
async def test_json_passes_as_it_is(wanted: str | None) -> None:
    answer = await answered(replies(200, b'{"text":"a",', b'"x":1}'), response_format=wanted)
    assert (answer.headers["content-type"], answer.body) == ("application/json", b'{"text":"a","x":1}')


async def test_text_is_text() -> None:
    answer = await answered(replies(200, b'{"text":"\\u00e9t', b'\\u00e9","usage":{}}'), response_format="text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (answer.body.decode(), answer.headers["content-length"]) == ("été", "5")
    assert answer.headers["x-request-id"] == "r1"


@pytest.mark.parametrize("fields", [{"response_format": "text"}, {"stream": "true"}])
async def test_a_refusal_passes_as_it_is(fields: dict[str, str]) -> None:
    answer = await answered(replies(400, b'{"error":', b"1}"), **fields)
    assert (answer.status, answer.body) == (400, b'{"error":1}')


async def test_a_stream_is_of_openais_events() -> None:
    text = chunk("a") + chunk("") + chunk(" b\n\nc")
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    last = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    raw = text + last + b"data: [DONE]\n\n"
    cut = [raw[:30], raw[30:95], raw[95:], b""]
    answer = await answered(replies(200, *cut, content_type=EVENTS), stream="true")
    assert events(answer) == [
        {"type": "transcript.text.delta", "delta": "a"},
        {"type": "transcript.text.delta", "delta": " b\n\nc"},
        {
            "type": "transcript.text.done",
            "text": "a b\n\nc",
            "usage": {"type": "tokens", "input_tokens": 4, "output_tokens": 3, "total_tokens": 7},
        },
    ]
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_failed_is_not_done() -> None:
    error = b'data: {"error":{"message":"m","code":500}}\n\n'
    answer = await answered(replies(200, chunk("a"), error, b"data: [DONE]\n\n", content_type=EVENTS), stream="true")
    assert [event.get("type") for event in events(answer)] == ["transcript.text.delta", None]
    assert error in answer.body
