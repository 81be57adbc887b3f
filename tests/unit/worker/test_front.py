import json
from typing import Any

import pytest

from llmservice_worker.asgi import App, Receive, Scope, Send
from llmservice_worker.errors import Refused
from llmservice_worker.front import Served, front
from llmservice_worker.inprocess import post
from llmservice_worker.requests.fields import Limits
from tests.unit.worker.asgi_apps import ask, raises, replies

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def served(**more: Any) -> Served:
    return Served(("m", "alias"), ("generate",), Limits(100, 2048), 7, **more)


def through(app: App) -> dict[str, App]:
    """An app that passes the outer request's body on to a route of `app`."""

    async def task(_scope: Scope, receive: Receive, send: Send) -> None:
        status, answer = await post(app, "/v1/chat/completions", json.loads((await receive())["body"]))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer, "more_body": False})

    return {"/v1/tasks/": task}


@pytest.mark.parametrize(("body", "status"), [(CHAT, 200), ({**CHAT, "frobnicate": 1}, 400)])
async def test_what_a_mounted_app_asks_is_judged_too(body: dict[str, Any], status: int) -> None:
    app = front(replies(200, b"{}"), served(), through)
    assert (await ask(app, "/v1/tasks/any", body=json.dumps(body).encode())).status == status


async def test_a_failure_is_shaped_and_a_lost_engine_is_said() -> None:
    headers = [(b"content-type", b"application/json")]
    body = json.dumps(CHAT).encode()
    broken = raises(RuntimeError("x"))
    assert (await ask(front(broken, served()), body=body, headers=headers)).status == 500
    assert (await ask(front(broken, served(), unavailable=lambda: True), body=body, headers=headers)).status == 502


async def test_names_are_the_models_and_its_adapters_of_this_moment() -> None:
    adapters: dict[str, str] = {}
    model = served(adapter_names=lambda: adapters)
    assert list(model.all_names()) == ["m", "alias"]
    adapters["legal"] = "m"
    assert model.all_names()["legal"] == "m"


async def test_without_adapters_only_the_models_names_are_found() -> None:
    await served().found("alias")
    with pytest.raises(Refused) as refused:
        await served().found("legal")
    assert refused.value.status == 404


async def test_no_adapter_is_asked_of_an_engine_that_is_away() -> None:
    asked: list[str] = []

    async def ensure(name: str) -> None:
        asked.append(name)

    headers = [(b"content-type", b"application/json")]
    body = json.dumps({**CHAT, "model": "m:legal"}).encode()
    app = front(replies(200, b"{}"), served(ensure=ensure), unavailable=lambda: True)
    assert ((await ask(app, body=body, headers=headers)).status, asked) == (502, [])
