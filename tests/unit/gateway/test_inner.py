"""Failures that nobody foresaw, at the agent's inner port: in the API's shape, and in the log."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from llmservice_gateway.activator import Activator
from llmservice_gateway.agent import Agent
from llmservice_gateway.inner import inner_app
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.settings import Settings

Client = TestClient[web.Request, web.Application]


class Broken(Activator):
    """Fails on every request: on `/v1/stream` after it has begun to answer."""

    def __init__(self) -> None:
        """Needs nothing."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Nothing but a failure."""
        if request.path == "/v1/stream":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"data")
        raise KeyError("no such")


class Nowhere:
    """A cluster, an HAProxy and a ledger that fail whatever they are asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    nowhere: Any = Nowhere()
    agent = Agent(nowhere, nowhere, Metrics(), "", time.time, 60)
    async with TestClient(TestServer(inner_app(agent, Settings(), Broken(), nowhere))) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "code"),
    [
        ("POST", "/v1/completions", 500, "server_error", "internal_error"),
        ("POST", "/v1/messages", 500, "api_error", "internal_error"),
        ("GET", "/v1/organization/usage", 500, "server_error", "internal_error"),
        ("GET", '/elsewhere"', 404, "invalid_request_error", "unknown_url"),
        ("PUT", "/v1/models", 405, "invalid_request_error", "method_not_allowed"),
    ],
)
async def test_failures_are_answers_in_the_apis_shape(
    client: Client, method: str, path: str, status: int, kind: str, code: str
) -> None:
    answer = await client.request(method, path, headers={"x-request-id": "r1"})
    assert (answer.status, answer.content_type) == (status, "application/json")
    said = json.loads(await answer.read())
    assert set(said["error"]) == {"message", "type", "param", "code"}
    assert (said["error"]["type"], said["error"]["code"]) == (kind, code)
    assert said.get("request_id") == ("r1" if path == "/v1/messages" else None)


async def test_what_nobody_foresaw_is_logged_with_where_it_was(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.post("/v1/completions")
    assert [(each.getMessage(), each.exc_info is not None) for each in caplog.records if each.levelname == "ERROR"] == [
        ("POST /v1/completions", True)
    ]


async def test_an_answer_that_has_begun_breaks_off(client: Client) -> None:
    with pytest.raises(ClientError):
        await (await client.post("/v1/stream")).read()
