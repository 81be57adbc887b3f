"""What the gateway itself refuses is counted, each request once, under its tenant, model and reason."""

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from llmservice_gateway.errors import REASON_HEADER
from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import PEPPER, apikey, llmservice, secret_key

CHAT = "/v1/chat/completions"
KEY, OTHER, NARROW = (secret_key(number) for number in (1, 2, 3))
LARGE = {"model": "none", "pad": "x" * 100_000}
TOO_LARGE = b"x" * 8_400_000

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running(threads=2) as stack:
        here = stack.upstream.address
        await stack.put(
            "llmservices",
            llmservice("llama", address=here),
            llmservice("gone", address="127.0.0.1:9"),
            llmservice("unready"),
            llmservice("cold", address="127.0.0.1:9", hold=(1, 1), replicas=0),
        )
        await stack.put(
            "apikeys",
            apikey(1),
            apikey(2, namespace="team-b"),
            apikey(3, limits={"requestsPerMinute": 1, "parallel": 1}),
        )
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.handler = None
    return gateway


def counts(stack: Stack) -> dict[tuple[str, ...], float]:
    """Every series that is there."""
    (family,) = stack.metrics.refused.collect()
    samples = [each for each in family.samples if each.name.endswith("_total")]
    return {tuple(each.labels[name] for name in ("namespace", "service", "reason")): each.value for each in samples}


async def new_counts(stack: Stack, before: dict[tuple[str, ...], float], total: int) -> dict[tuple[str, ...], float]:
    """What was counted since, once `total` are."""

    def news() -> dict[tuple[str, ...], float]:
        return {name: value - before.get(name, 0) for name, value in counts(stack).items() if value != before.get(name)}

    await eventually(lambda: sum(news().values()) >= total)
    return news()


@pytest.mark.parametrize(
    ("key", "path", "body", "status", "counted"),
    [
        (None, CHAT, {"model": "llama"}, 401, ("-", "-", "invalid_api_key")),
        (None, f"/team-a/llama{CHAT}", {}, 401, ("team-a", "llama", "invalid_api_key")),
        (None, f"/team-x/none{CHAT}", {}, 401, ("-", "-", "invalid_api_key")),
        (KEY, CHAT, {"model": "none"}, 404, ("team-a", "-", "model_not_found")),
        (OTHER, f"/team-a/llama{CHAT}", {}, 404, ("team-b", "-", "model_not_found")),
        (PEPPER.probe_key(), f"/team-a/unready{CHAT}", {}, 503, ("team-a", "unready", "model_not_ready")),
        (KEY, CHAT, {"model": "unready"}, 503, ("team-a", "unready", "model_not_ready")),
        (KEY, CHAT, {"model": "gone"}, 503, ("team-a", "gone", "service_unavailable")),
        (KEY, CHAT, {}, 400, ("team-a", "-", "missing_required_parameter")),
        (KEY, "/v1/unknown", {}, 404, ("-", "-", "unknown_url")),
        # said by the agent
        (KEY, CHAT, LARGE, 404, ("team-a", "-", "model_not_found")),
        (KEY, CHAT, {"model": "cold"}, 503, ("team-a", "cold", "hold_over")),
    ],
)
async def test_a_refusal_is_counted_once(
    stack: Stack, key: str | None, path: str, body: object, status: int, counted: tuple[str, ...]
) -> None:
    before = counts(stack)
    answer = await stack.post(path, body, key)
    assert (answer.status, REASON_HEADER in answer.headers) == (status, False)
    assert await new_counts(stack, before, 1) == {counted: 1}


async def test_a_body_that_is_too_large_is_counted(stack: Stack) -> None:
    before = counts(stack)
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = await stack.ask("POST", CHAT, data=io.BytesIO(TOO_LARGE), headers=headers)
    assert (answer.status, REASON_HEADER in answer.headers) == (413, False)
    assert await new_counts(stack, before, 1) == {("team-a", "-", "request_too_large"): 1}


async def test_of_a_burst_each_is_counted() -> None:
    async with running(threads=2) as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(3, limits={"tokensPerMinute": 1, "requestsPerMinute": 20}))
        answers = await asyncio.gather(*(stack.post(CHAT, {"model": "llama"}, NARROW) for _ in range(300)))
        refused = sum(answer.status == 429 for answer in answers)
        assert refused >= 300 - 2 * 20  # a minute may end on the way
        assert await new_counts(stack, {}, refused) == {("team-a", "llama", "requests_limit"): refused}


async def test_what_a_model_says_is_not_counted_and_it_cannot_name_a_reason(stack: Stack) -> None:
    async def says(request: web.Request) -> web.Response:
        said = json.loads(await request.read())
        kind = "application/json" if said["json"] else "text/plain"
        return web.Response(status=said["status"], content_type=kind, text="{}", headers={REASON_HEADER: "forged"})

    before = counts(stack)
    stack.upstream.handler = says
    for status in (200, 400, 429, 500):
        answer = await stack.post(CHAT, {"model": "llama", "status": status, "json": True}, KEY)
        assert (answer.status, REASON_HEADER in answer.headers) == (status, False)
    assert (await stack.post(CHAT, {"model": "llama", "status": 400, "json": False}, KEY)).status == 400
    large = {"model": "llama", "status": 400, "json": True, "pad": LARGE["pad"]}
    assert (await stack.post(CHAT, large, KEY)).status == 400
    assert (await stack.post(CHAT, {"model": "none"}, KEY)).status == 404
    assert await new_counts(stack, before, 2) == {
        ("team-a", "llama", "bad_request"): 1,
        ("team-a", "-", "model_not_found"): 1,
    }
