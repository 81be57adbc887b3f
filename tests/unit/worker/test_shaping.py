import pytest

from llmservice_worker.asgi import Receive, Scope, Send
from llmservice_worker.shaping import ErrorShaping
from tests.unit.worker.asgi_apps import ask, raises, replies, says_nothing

EVENTS = b"text/event-stream; charset=utf-8"


async def test_a_good_answer_passes_unchanged() -> None:
    answer = await ask(ErrorShaping(replies(200, b'{"a":', b"1}")))
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, b'{"a":1}', "r1")


async def test_an_error_is_shaped_and_keeps_its_other_headers() -> None:
    answer = await ask(ErrorShaping(replies(404, b"<html>", b"no</html>", content_type=b"text/html")))
    assert answer.status == 404
    assert answer.error["message"] == "There is no such resource."
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-request-id"] == "r1"


async def test_an_error_without_an_end_is_ended() -> None:
    answer = await ask(ErrorShaping(replies(400, b'{"detail":"no"}', ends=False)))
    assert (answer.status, answer.error["message"], answer.ended) == (400, "no", True)


@pytest.mark.parametrize(("broken", "retry"), [(500, None), (503, "1")])
async def test_what_raises_or_says_nothing_is_answered(broken: int, retry: str | None) -> None:
    for app in (says_nothing, raises(ValueError("secret"))):
        answer = await ask(ErrorShaping(app, broken=broken))
        assert (answer.status, answer.headers.get("retry-after")) == (broken, retry)
        assert "secret" not in answer.error["message"]


async def test_what_a_dead_engine_did_not_answer_is_lost_and_may_be_asked_elsewhere() -> None:
    answer = await ask(ErrorShaping(replies(500, b"{}"), unavailable=lambda: True))
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (502, None, "1")
    answer = await ask(ErrorShaping(replies(400, b"{}"), unavailable=lambda: True))
    assert answer.status == 400


async def test_a_refusal_keeps_its_own_retry_after() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 429, "headers": [(b"Retry-After", b"7")]})
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(ErrorShaping(app))
    assert answer.headers.get("Retry-After") == "7"
    assert "retry-after" not in answer.headers


async def test_a_stream_passes_event_by_event() -> None:
    chunks = (b'data: {"a":1}\n\n', b"data: [DONE]\n\n")
    answer = await ask(ErrorShaping(replies(200, *chunks, content_type=EVENTS)))
    assert answer.body == b"".join(chunks)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_stream_that_breaks_off_ends_with_exactly_one_error_event(fails: bool) -> None:
    stream = replies(200, b'data: {"a":1}\n\n', content_type=EVENTS, ends=False)
    answer = await ask(ErrorShaping(raises(RuntimeError("secret"), after=stream) if fails else stream))
    assert answer.ended
    assert answer.body.count(b'data: {"error"') == 1
    assert b"secret" not in answer.body


async def test_an_error_event_of_the_engine_is_shaped_and_gets_no_second() -> None:
    chunks = (b'data: {"error":{"message":"trace above","type":"I","param":null,"code":500}}\n\n', b"data: [DONE]\n\n")
    answer = await ask(ErrorShaping(raises(RuntimeError(), after=replies(200, *chunks, content_type=EVENTS))))
    assert answer.body.count(b'data: {"error"') == 1
    assert b"trace above" not in answer.body
    assert answer.body.endswith(b"\n\ndata: [DONE]\n\n")


async def test_nothing_follows_an_end() -> None:
    answer = await ask(ErrorShaping(raises(RuntimeError(), after=replies(200, b"{}"))))
    assert answer.body == b"{}"


async def test_lifespan_passes_and_websockets_do_not() -> None:
    kinds: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        kinds.append(scope["type"])

    await ask(ErrorShaping(app), kind="lifespan")
    await ask(ErrorShaping(app), kind="websocket")
    assert kinds == ["lifespan"]
