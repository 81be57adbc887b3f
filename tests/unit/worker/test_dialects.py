import json

import pytest

from llmservice_worker.dialects import ANTHROPIC, OPENAI, dialect_of
from llmservice_worker.errors import error_body
from llmservice_worker.shaping import ErrorShaping
from tests.unit.worker.asgi_apps import ask, raises, replies

EVENTS = b"text/event-stream"


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
        ("/v1/messagesx", OPENAI),
        ("/v1/chat/completions", OPENAI),
    ],
)
def test_anthropics_routes_speak_anthropics_shape(path: str, dialect: object) -> None:
    assert dialect_of(path) is dialect


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
async def test_an_error_of_any_status_has_its_type(status: int, kind: str) -> None:
    app = ErrorShaping(replies(status, error_body(status, "what is wrong")))
    answer = json.loads((await ask(app, "/v1/messages")).body)
    assert set(answer) == {"type", "error"}
    assert (answer["type"], answer["error"]["type"]) == ("error", kind)
    assert set(answer["error"]) == {"type", "message"}
    assert ("what is wrong" in answer["error"]["message"]) == (status < 500)


async def test_an_engine_that_fails_says_nothing_of_itself() -> None:
    answer = await ask(ErrorShaping(raises(RuntimeError("/opt/secret"))), "/v1/messages")
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["type"] == "api_error"
    assert b"secret" not in answer.body


async def test_a_stream_that_breaks_off_ends_in_anthropics_event() -> None:
    begun = replies(200, b"event: ping\ndata: {}\n\n", content_type=EVENTS, ends=False)
    answer = await ask(ErrorShaping(raises(RuntimeError("x"), begun)), "/v1/messages")
    assert answer.body.endswith(b"\n\n" + ANTHROPIC.broken + b"\n\n")
    assert answer.body.count(b"event: error") == 1


async def test_an_engines_error_event_loses_its_internals() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"E","message":"/opt/x.py line 3"}}\n\n'
    answer = await ask(ErrorShaping(replies(200, b"data: {}\n\n" + event, content_type=EVENTS)), "/v1/messages")
    assert answer.body == b"data: {}\n\n" + ANTHROPIC.broken + b"\n\n"
