import asyncio

import pytest

from llmservice_worker.asgi import Receive, Scope, Send, reply_json
from llmservice_worker.body import ClientGone
from llmservice_worker.inprocess import post
from tests.unit.worker.asgi_apps import replies, says_nothing


async def test_status_and_the_whole_body_come_back() -> None:
    assert await post(replies(404, b"a", b"b"), "/x", {}) == (404, b"ab")


async def test_an_app_that_says_nothing_has_failed() -> None:
    assert await post(says_nothing, "/x", {}) == (500, b"")


async def test_a_client_that_left_is_told_to_the_app_and_gets_no_answer() -> None:
    gone = asyncio.Event()
    gone.set()
    heard: list[str] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])
        await reply_json(send, 200, b"ok")

    with pytest.raises(ClientGone):
        await post(app, "/x", {}, gone=gone)
    assert heard == ["http.request", "http.disconnect"]


async def test_the_app_sees_path_headers_and_body() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await reply_json(send, 200, (await receive())["body"])

    assert await post(app, "/v1/x", {"a": 1}, [(b"x-request-id", b"r1")]) == (200, b'{"a":1}')
    headers = dict(seen[0]["headers"])
    assert (seen[0]["path"], seen[0]["method"], headers[b"x-request-id"]) == ("/v1/x", "POST", b"r1")
    assert (headers[b"content-type"], headers[b"content-length"]) == (b"application/json", b"7")
