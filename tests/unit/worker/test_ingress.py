import json

import pytest

from llmservice_worker.ingress import Ingress
from tests.unit.worker.asgi_apps import Answer, ask, replies

INGRESS = Ingress(replies(200, b'{"engine":true}'), ["org/model", "gpt-4o-mini"], created=7, max_model_len=2048)


async def to(method: str, path: str) -> Answer:
    return await ask(INGRESS, path, method)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_listed_routes_reach_the_engine(path: str) -> None:
    assert (await to("POST", path)).body == b'{"engine":true}'


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/redoc", "/openapi.json", "/metrics", "/health", "/load", "/version", "/ping", "/invocations",
        "/tokenize", "/pause", "/sleep", "/update_weights", "/collective_rpc", "/v1/load_lora_adapter", "/v1/score",
        "/v1/chat/completions/", "//v1/chat/completions", "/v1/chat/completions/batch", "/v1/modelsx", "/v1/MODELS",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_other_route_is_unknown(method: str, path: str) -> None:
    answer = await to(method, path)
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")


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
    assert [card["id"] for card in listed["data"]] == ["org/model", "gpt-4o-mini"]
    assert listed["data"][0] == {
        "id": "org/model",
        "object": "model",
        "created": 7,
        "owned_by": "llmservice",
        "max_model_len": 2048,
    }


async def test_a_model_is_found_by_an_id_with_a_slash() -> None:
    assert json.loads((await to("GET", "/v1/models/org/model")).body)["id"] == "org/model"


@pytest.mark.parametrize("name", ["nope", "org", "../../etc/passwd", "", "x" * 10_000])
async def test_an_unknown_model_is_not_found(name: str) -> None:
    answer = await to("GET", f"/v1/models/{name}")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert len(answer.body) < 1000
