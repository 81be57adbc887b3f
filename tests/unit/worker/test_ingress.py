import json

import pytest

from llmservice_worker.args import Task
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.body import ClientGone
from llmservice_worker.ingress import Ingress
from llmservice_worker.routes import ROUTES, Route
from tests.unit.worker.asgi_apps import Answer, ask, replies


class ToEngine:
    """Lets every request through and says which route it took; a client may leave on the way."""

    def __init__(self, leaves: bool = False) -> None:
        self._leaves = leaves

    async def pass_on(self, route: Route, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self._leaves:
            raise ClientGone
        await reply_json(send, 200, json.dumps({"engine": route.upstream}).encode())


def ingress(*tasks: Task, leaves: bool = False, mounts: dict[str, App] | None = None) -> Ingress:
    names = {"org/model": None, "gpt-4o-mini": None, "legal": "org/model"}
    wanted = tasks or ("generate",)
    return Ingress(replies(200, b"{}"), ToEngine(leaves), lambda: names, wanted, 7, 2048, mounts)


INGRESS = ingress()


async def to(method: str, path: str, app: Ingress = INGRESS) -> Answer:
    return await ask(app, path, method)


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/engines/org/model/completions", "/v1/completions"),
        ("/v1/tokenize", "/tokenize"),
        ("/tokenize", "/tokenize"),
        ("/v1/messages", "/v1/messages"),
    ],
)
async def test_listed_routes_reach_the_engine(path: str, upstream: str) -> None:
    assert json.loads((await to("POST", path)).body) == {"engine": upstream}


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/redoc", "/openapi.json", "/metrics", "/health", "/load", "/version", "/ping", "/invocations",
        "/pause", "/sleep", "/update_weights", "/collective_rpc", "/v1/load_lora_adapter", "/v1/score", "/score",
        "/v1/chat/completions/", "//v1/chat/completions", "/v1/chat/completions/batch", "/v1/modelsx", "/v1/MODELS",
        "/v1/engines//completions", "/v1/engines/completions", "/v1/tasks/translate", "/pooling", "/v1/embeddings",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_other_route_is_unknown(method: str, path: str) -> None:
    answer = await to(method, path)
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("task", ["generate", "embed", "score", "classify", "transcribe"])
async def test_tasks_decide_which_routes_exist(path: str, task: Task) -> None:
    exists = task in ROUTES[path].tasks
    assert (await to("POST", path, ingress(task))).status == (200 if exists else 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/completions", "POST"),
        ("OPTIONS", "/v1/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/org/model", "GET"),
    ],
)
async def test_a_wrong_method_is_named(method: str, path: str, allowed: str) -> None:
    answer = await to(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.error["message"] == f"Not allowed to {method} on {path}: use {allowed}."


async def test_models_are_listed_under_all_their_names() -> None:
    listed = json.loads((await to("GET", "/v1/models")).body)
    assert listed["object"] == "list"
    assert [card["id"] for card in listed["data"]] == ["org/model", "gpt-4o-mini", "legal"]
    assert listed["data"][0] == {
        "id": "org/model",
        "object": "model",
        "created": 7,
        "owned_by": "llmservice",
        "tasks": ["generate"],
        "max_model_len": 2048,
    }
    assert listed["data"][2]["parent"] == "org/model"


async def test_a_model_is_found_by_an_id_with_a_slash() -> None:
    assert json.loads((await to("GET", "/v1/models/org/model")).body)["id"] == "org/model"


@pytest.mark.parametrize("name", ["nope", "org", "../../etc/passwd", "", "x" * 10_000])
async def test_an_unknown_model_is_not_found(name: str) -> None:
    answer = await to("GET", f"/v1/models/{name}")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert len(answer.body) < 1000


async def test_a_mounted_app_has_its_paths() -> None:
    app = ingress(mounts={"/v1/tasks/": replies(200, b'{"task":true}')})
    assert (await to("POST", "/v1/tasks/translate", app)).body == b'{"task":true}'
    assert (await to("POST", "/v1/tasks", app)).status == 404


async def test_a_client_that_left_is_not_answered() -> None:
    assert (await to("POST", "/v1/completions", ingress(leaves=True))).status == 0
