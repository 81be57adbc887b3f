"""What is said of a request in each way that it may end, and what never is."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from llmservice_worker.access import Access, AccessLog, line, lines, note_model
from llmservice_worker.asgi import App, Message, Receive, Scope, Send
from llmservice_worker.shaping import ErrorShaping
from tests.unit.worker.asgi_apps import Answer, raises, replies, says_nothing

EVENTS = b"text/event-stream; charset=utf-8"
PROMPT = "my secret prompt"
HEADERS = [(b"x-request-id", b"r7"), (b"x-llmservice-key-id", b"0123"), (b"x-llmservice-route", b"ns/smol")]


def seconds() -> Callable[[], float]:
    """A clock that moves on by 0.1 s each time that it is looked at."""
    ticks = count()
    return lambda: next(ticks) / 10


async def exchanged(
    app: App, messages: Iterator[Message] | None = None, headers: Any = HEADERS, path: str = "/v1/completions"
) -> tuple[Access, Answer]:
    """One request through the log; `messages` None: a client that stays."""
    heard: list[Access] = []
    answer = Answer()

    async def receive() -> Message:
        if messages is None:
            return {"type": "http.request", "body": json.dumps({"prompt": PROMPT}).encode(), "more_body": False}
        return next(messages)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        answer.body += message.get("body", b"")

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    try:
        await AccessLog(app, [heard.append], seconds())(scope, receive, send)
    except (RuntimeError, asyncio.CancelledError, ConnectionError):
        assert heard, "what failed is said too"
    (access,) = heard
    return access, answer


def leaves(answered: App | None = None) -> App:
    """An app that answers, then sees that its client has left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if answered is not None:
            await answered(scope, receive, send)
        await receive()

    return app


def answers_too_late(answered: App) -> App:
    """An app that answers once its client has left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await answered(scope, receive, send)

    return app


def gone() -> Iterator[Message]:
    yield {"type": "http.disconnect"}


OPEN_STREAM = replies(200, b"data: {}\n\n", content_type=EVENTS, ends=False)


@pytest.mark.parametrize(
    ("app", "messages", "status", "stream", "outcome"),
    [
        (replies(200, b"{}"), None, 200, False, "completed"),
        (replies(200, b"data: {}\n\n", b"data: [DONE]\n\n", content_type=EVENTS), None, 200, True, "completed"),
        (replies(404, b"{}"), None, 404, False, "completed"),
        (replies(503, b"{}"), None, 503, False, "error"),
        (OPEN_STREAM, None, 200, True, "error"),
        (replies(200, b'data: {"error": {}}\n\n', content_type=EVENTS), None, 200, True, "error"),
        (raises(RuntimeError(PROMPT)), None, None, False, "error"),
        (says_nothing, None, None, False, "error"),
        (leaves(), gone(), None, False, "client_left"),
        (leaves(OPEN_STREAM), gone(), 200, True, "client_left"),
        (leaves(replies(200, b"{}")), gone(), 200, False, "completed"),
        (answers_too_late(replies(200, b"null")), gone(), None, False, "client_left"),
        (ErrorShaping(leaves(OPEN_STREAM)), gone(), 200, True, "client_left"),
        (raises(ConnectionResetError(), after=OPEN_STREAM), None, 200, True, "error"),
    ],
    ids=[
        "answer", "stream", "refusal", "busy", "stream without end", "error event", "raises", "says nothing",
        "left before", "left in mid-stream", "left after", "left before an answer that was made",
        "left before the event that ends a stream", "its own connection broke",
    ],
)  # fmt: skip
async def test_how_it_ended(
    app: App, messages: Iterator[Message] | None, status: int | None, stream: bool, outcome: str
) -> None:
    access, _ = await exchanged(app, messages)
    assert (access.status, access.stream, access.outcome) == (status, stream, outcome)


@pytest.mark.parametrize(
    ("chunks", "outcome"),
    [
        ([b"event: ping\ndata: {}\n\n", b'event: error\ndata: {"type":"error","error":{}}\n\n'], "error"),
        ([b'event: ping\ndata: {}\n\nevent: error\ndata: {"type":"error"}\n\n'], "error"),
        ([b'event: content_block_delta\ndata: {"delta":{"text":"event: error"}}\n\n'], "completed"),
    ],
    ids=["error event", "error event behind another", "text that speaks of one"],
)
async def test_how_a_stream_of_messages_ended(chunks: list[bytes], outcome: str) -> None:
    access, _ = await exchanged(replies(200, *chunks, content_type=EVENTS), path="/v1/messages")
    assert access.outcome == outcome


async def test_a_cancelled_request_is_one_whose_client_left() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    access, _ = await exchanged(app)
    assert access.outcome == "client_left"


async def test_ids_times_and_model() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note_model(scope, "smol")
        await replies(200, b"data: {}\n\n", b"data: [DONE]\n\n", content_type=EVENTS)(scope, receive, send)

    access, answer = await exchanged(app)
    assert (access.request_id, access.key_id, access.route, access.model) == ("r7", "0123", "ns/smol", "smol")
    assert (access.ttft_ms, access.duration_ms) == (200.0, 300.0)
    assert answer.headers["x-request-id"] == "r7"
    assert answer.headers["openai-processing-ms"] == "100"


async def test_only_a_stream_has_a_first_token() -> None:
    access, _ = await exchanged(replies(200, b"{}"))
    assert access.ttft_ms is None


async def test_an_id_is_made_where_none_came_and_the_app_learns_it() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await replies(200, b"{}")(scope, receive, send)

    access, answer = await exchanged(app, headers=[])
    assert access.request_id.startswith("req_")
    assert answer.headers["x-request-id"] == access.request_id
    assert seen[0]["headers"] == [(b"x-request-id", access.request_id.encode())]


@pytest.mark.parametrize("app", [replies(200, b"{}"), raises(RuntimeError("x")), replies(400, b"{}"), says_nothing])
async def test_every_answer_bears_both_headers(app: App) -> None:
    access, answer = await exchanged(ErrorShaping(app))
    assert answer.headers["x-request-id"] == access.request_id
    assert answer.headers["openai-processing-ms"].isdigit()
    assert access.status == answer.status


async def test_a_line_is_json_without_any_text_of_the_prompt() -> None:
    written: list[str] = []
    access, _ = await exchanged(raises(RuntimeError(PROMPT)))
    lines(written.append, lambda: datetime(2026, 1, 2, tzinfo=UTC))(access)
    (text,) = written
    assert PROMPT not in text
    assert json.loads(text) == {
        "time": "2026-01-02T00:00:00.000+00:00", "level": "error", "logger": "llmservice.access", "request_id": "r7",
        "key_id": "0123", "route": "ns/smol", "method": "POST", "path": "/v1/completions", "model": "", "status": None,
        "duration_ms": 100.0, "ttft_ms": None, "stream": False, "outcome": "error",
    }  # fmt: skip


async def test_a_line_stays_one_line_and_one_write_to_a_pipe() -> None:
    hostile = [(name, b'\xff\n"' * 2000) for name, _ in HEADERS]
    access, _ = await exchanged(replies(200, b"{}"), headers=hostile)
    text = line(access, datetime(2026, 1, 2, tzinfo=UTC))
    assert "\n" not in text
    assert len(text.encode()) < 8192
    assert json.loads(text)["outcome"] == "completed"


async def test_what_is_no_request_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def send(_: Message) -> None:
        return None

    await AccessLog(app, [], seconds())({"type": "lifespan"}, nothing, send)
    assert seen == ["lifespan"]
