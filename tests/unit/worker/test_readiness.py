import json
from typing import Any

import pytest

from llmservice_worker.args import Task
from llmservice_worker.asgi import Receive, Scope, Send, reply_json
from llmservice_worker.inprocess import post
from llmservice_worker.multipart import fields
from llmservice_worker.readiness import _REQUESTS, NotWarm, warm_up
from llmservice_worker.requests.fields import Limits
from llmservice_worker.requests.judge import judged
from llmservice_worker.routes import route
from tests.unit.worker.asgi_apps import replies


class Engine:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, chat: int = 200, completion: int = 200) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._statuses = {"/v1/chat/completions": chat, "/v1/completions": completion}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        self.asked.append((scope["path"], body))
        await reply_json(send, self._statuses.get(scope["path"], 200), b'{"said": "this"}')


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


@pytest.mark.parametrize(
    ("task", "path"), [("embed", "/v1/embeddings"), ("score", "/v1/score"), ("classify", "/classify")]
)
async def test_each_task_is_asked_for_before_ready(task: Task, path: str) -> None:
    engine = Engine()
    assert len(await warm_up(engine, "m", (task,))) == 1
    assert [asked for asked, _ in engine.asked] == [path]
    with pytest.raises(NotWarm, match=path):
        await warm_up(replies(400, b"{}"), "m", (task,))


async def test_a_transcriber_hears_a_second_of_silence() -> None:
    heard: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raw = (await receive())["body"]
        assert fields(scope["headers"], raw) == {"model": "m"}
        heard.append(raw)
        await reply_json(send, 200, b'{"text": ""}')

    assert len(await warm_up(app, "m", ("transcribe",))) == 1
    assert len(heard[0]) > 32_000
    with pytest.raises(NotWarm, match="transcriptions"):
        await warm_up(replies(500, b"{}"), "m", ("transcribe",))


def test_the_front_lets_every_warm_up_through() -> None:
    for task, requests in _REQUESTS.items():
        for path, body, _ in requests:
            found = route(path, [task])
            assert found is not None
            judged(found.request, {"model": "m", **body}, Limits(vocabulary=10))


async def test_an_app_that_waits_for_a_disconnect_gets_none() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await reply_json(send, 200, b"ok")

    assert await post(app, "/v1/completions", {}) == (200, b"ok")
