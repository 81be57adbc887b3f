import json
from typing import Any

import pytest

from llmservice_worker.errors import error_body, shaped, shaped_event, status_of


def error_of(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    assert set(found) == {"error"}
    error: dict[str, Any] = found["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] is None or isinstance(error["code"], str)
    assert isinstance(error["message"], str)
    assert error["message"]
    return error


def vllm(message: str, code: int, param: str | None = None, kind: str = "BadRequestError") -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 408, 413, 415, 418, 422, 429, 500, 501, 502, 503, 504, 599]
)
def test_every_status_has_a_body_in_openais_shape(status: int) -> None:
    error_of(error_body(status))
    error_of(shaped(status, b"plain text"))
    error_of(shaped(status, b""))
    error_of(shaped(status, b'{"error": null}'))
    error_of(shaped(status, b'{"detail": [{"loc": 1}]}'))


def test_an_unknown_model_is_model_not_found() -> None:
    error = error_of(shaped(404, vllm("The model `x` does not exist.", 404, "model", "NotFoundError")))
    assert error == {
        "message": "The model `x` does not exist.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    ("message", "param", "said", "field"),
    [
        (
            "1 validation error: {'type': 'a', 'loc': ('body', 'messages'), 'msg': 'Field required', 'input': {}}",
            "body.messages",
            "messages: Field required",
            "messages",
        ),
        (
            "2 validation errors: {'type': 'a', 'loc': ('body', 'stop', 0), 'msg': 'one', 'input': 1}, "
            "{'type': 'b', 'loc': ('body', 'n'), 'msg': \"it's two\", 'input': 1}",
            None,
            "stop.0: one; n: it's two",
            "stop.0",
        ),
        (
            "1 validation error: {'type': 'json_invalid', 'loc': ('body', 1), 'msg': 'JSON decode error', 'input': {}}",
            "body.1",
            "JSON decode error",
            None,
        ),
        ("n must be at least 1, got 0.", "n", "n must be at least 1, got 0.", "n"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(message: str, param: str | None, said: str, field: str | None) -> None:
    error = error_of(shaped(400, vllm(message, 400, param)))
    assert (error["message"], error["param"]) == (said, field)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_internals_never_reach_a_client(status: int) -> None:
    secret = (
        'Traceback (most recent call last):\n  File "/opt/x.py", line 3, in f\nRuntimeError: at 0x7f00aa 10.0.0.9:80'
    )
    for body in (vllm(secret, status), secret.encode(), json.dumps({"detail": secret}).encode()):
        text = json.dumps(error_of(shaped(status, body)))
        assert not any(word in text for word in ("Traceback", "/opt", "RuntimeError", "0x7f", "10.0.0.9"))


def test_a_4xx_keeps_its_message_without_paths_and_addresses() -> None:
    error = error_of(shaped(400, vllm("cannot read /models/claim/x.json at 10.1.2.3:99 <f at 0x7fa9c0de>", 400)))
    assert error["message"] == "cannot read <path> at <address> <f>"


def test_shaping_is_idempotent() -> None:
    for status in (400, 404, 429, 503):
        once = shaped(status, vllm("no", status, "model"))
        assert shaped(status, once) == once


def test_statuses_that_openai_does_not_use() -> None:
    assert (status_of(422), status_of(499), status_of(404)) == (400, 408, 404)


def test_an_error_event_is_shaped_and_others_are_left_alone() -> None:
    event = shaped_event(
        b'data: {"error": {"message": "EngineCore see trace", "type": "I", "param": null, "code": 500}}'
    )
    assert error_of(event.removeprefix(b"data: "))["message"] == "The server failed on this request."
    for same in (b'data: {"id":"x"}', b"data: [DONE]", b": ping", b"", event):
        assert shaped_event(same) == same


def test_an_error_event_about_the_request_keeps_its_message() -> None:
    event = shaped_event(
        b'data: {"error": {"message": "too long", "type": "BadRequestError", "param": "n", "code": 400}}'
    )
    assert error_of(event.removeprefix(b"data: "))["message"] == "too long"


def test_a_deep_body_is_not_followed() -> None:
    assert error_of(shaped(400, b'{"a":' * 100_000))["message"] == "The request is not valid."
