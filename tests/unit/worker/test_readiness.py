import json
from typing import Any

import pytest

from llmservice_worker.asgi import Receive, Scope, Send, reply_json
from llmservice_worker.inprocess import post
from llmservice_worker.readiness import NotWarm, warm_up


class Engine:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, chat: int = 200, completion: int = 200) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._statuses = {"/v1/chat/completions": chat, "/v1/completions": completion}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        self.asked.append((scope["path"], body))
        await reply_json(send, self._statuses[scope["path"]], b'{"said": "this"}')


async def test_chat_streamed_chat_and_completion_are_generated_before_ready() -> None:
    engine = Engine()
    took = await warm_up(engine, "org/model")
    assert [path for path, _ in engine.asked] == ["/v1/chat/completions", "/v1/chat/completions", "/v1/completions"]
    assert [body.get("stream", False) for _, body in engine.asked] == [False, True, False]
    assert {body["model"] for _, body in engine.asked} == {"org/model"}
    assert len(took) == 3


async def test_a_model_without_a_chat_template_is_ready_when_it_completes() -> None:
    await warm_up(Engine(chat=400), "m")


@pytest.mark.parametrize("engine", [Engine(chat=500), Engine(completion=400), Engine(completion=503)])
async def test_what_does_not_generate_is_not_ready(engine: Engine) -> None:
    with pytest.raises(NotWarm, match="said"):
        await warm_up(engine, "m")


async def test_an_app_that_waits_for_a_disconnect_gets_none() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await reply_json(send, 200, b"ok")

    assert await post(app, "/v1/completions", {}) == (200, b"ok")
