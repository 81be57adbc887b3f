"""A key's limits at one gateway: how many of a burst are admitted, what a client is told, and what frees a place."""

import asyncio
import dataclasses
import io
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
import openai
import pytest
import pytest_asyncio
from aiohttp import web

from llmservice_gateway.runtime import RuntimeSocket
from tests.eventually import eventually
from tests.integration.gateway_stack import Answer, Stack, completion, event, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

BODY = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"
NUMBERS = itertools.count(100)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running(threads=2) as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    gateway.upstream.handler = None
    return gateway


async def a_key(stack: Stack, **limits: int) -> str:
    """A key that nobody has used."""
    number = next(NUMBERS)
    await stack.put("apikeys", apikey(number, limits=limits))
    return secret_key(number)


async def in_one_minute(stack: Stack, ask: Callable[[str], Awaitable[Sequence[Answer]]], **limits: int) -> list[Answer]:
    """What `ask` is answered with a fresh key, all of it within one minute of the clock."""
    while True:
        key, began = await a_key(stack, **limits), time.time() // 60
        stack.upstream.seen.clear()
        found = list(await ask(key))
        if time.time() // 60 == began:
            return found


async def post_alone(stack: Stack, body: object, key: str) -> Answer:
    """A request that finds all places free: HAProxy takes one back a moment after its answer's last byte has gone."""
    haproxy = RuntimeSocket(stack.settings.socket, stack.settings.maps)

    async def all_free() -> bool:
        return not re.search("conn_cur=[1-9]", await haproxy.table("under_way"))

    await eventually(all_free)
    return await stack.post(CHAT, body, key)


def statuses(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


@dataclass
class Engine:
    """An upstream that answers when it is told to, and counts."""

    under_way: int = 0
    most: int = 0
    served: int = 0
    stream: bool = False

    def __post_init__(self) -> None:
        self.go = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        self.under_way += 1
        self.served += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.stream:
                response = web.StreamResponse(headers={"content-type": "text/event-stream"})
                await response.prepare(request)
                await response.write(event("0"))
                await self.go.wait()
                return response
            await self.go.wait()
            return web.json_response(completion())
        finally:
            self.under_way -= 1


@pytest.fixture
def engine(stack: Stack) -> Engine:
    found = Engine()
    stack.upstream.handler = found.handle
    return found


@pytest.mark.parametrize("limit", [1, 10, 50])
async def test_of_a_burst_as_many_are_admitted_as_the_limit_says(stack: Stack, limit: int) -> None:
    async def burst(key: str) -> Sequence[Answer]:
        return await asyncio.gather(*(stack.post(CHAT, BODY, key) for _ in range(limit * 3)))

    answers = await in_one_minute(stack, burst, requestsPerMinute=limit)
    assert statuses(answers) == {200: limit, 429: 2 * limit}
    assert len(stack.upstream.seen) == limit
    left = [int(each.headers["x-ratelimit-remaining-requests"]) for each in answers if each.status == 200]
    assert sorted(left) == list(range(limit))
    refused = next(each for each in answers if each.status == 429)
    assert (refused.error["code"], refused.error["type"]) == ("rate_limit_exceeded", "requests")
    assert f"limit of {limit} requests in a minute" in refused.error["message"]
    assert refused.headers["x-ratelimit-limit-requests"] == str(limit)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"] == refused.headers["retry-after"] + "s"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "x-ratelimit-limit-tokens" not in refused.headers


async def test_every_url_counts_and_what_is_no_request_to_a_model_does_not(stack: Stack) -> None:
    async def ask(key: str) -> Sequence[Answer]:
        free = [
            await stack.get("/v1/models", key),
            await stack.post(CHAT, {"model": "unknown"}, key),
            await stack.post(CHAT, {}, key),
            await stack.post("/team-a/llama/v1/nothing", BODY, key),
            await stack.ask("GET", CHAT, headers={"Authorization": f"Bearer {key}"}),
        ]
        paid = ["/v1/completions", "/team-a/llama/v1/embeddings", "/v1/tasks/summarize", "/v1/messages"]
        return [*free, *[await stack.post(path, BODY, key) for path in [*paid, "/v1/messages", CHAT]]]

    answers = await in_one_minute(stack, ask, requestsPerMinute=4)
    assert [each.status for each in answers] == [200, 404, 400, 404, 405, 200, 200, 200, 200, 429, 429]
    told = json.loads(answers[-2].body)
    assert (told["type"], told["error"]["type"], told["request_id"]) == (
        "error",
        "rate_limit_error",
        answers[-2].headers["request-id"],
    )
    assert "x-ratelimit-limit-requests" not in answers[0].headers


async def test_a_request_that_is_asked_again_upstream_counts_once(stack: Stack) -> None:
    tries = 0

    async def lost_twice(_: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        return web.Response(status=502) if tries % 3 else web.json_response(completion())

    async def ask(key: str) -> Sequence[Answer]:
        return [await stack.post(CHAT, BODY, key) for _ in range(3)]

    stack.upstream.handler = lost_twice
    answers = await in_one_minute(stack, ask, requestsPerMinute=2)
    assert [each.status for each in answers] == [200, 200, 429]
    assert tries % 6 == 0


async def test_a_client_that_waits_as_long_as_it_is_told_is_admitted(stack: Stack) -> None:
    key = await a_key(stack, requestsPerMinute=1)
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0) as impatient:
        answers = await asyncio.gather(
            *(impatient.chat.completions.create(model="llama", messages=[]) for _ in range(3)), return_exceptions=True
        )
    refused = [each for each in answers if isinstance(each, openai.RateLimitError)]
    assert refused
    assert {each.code for each in refused} == {"rate_limit_exceeded"}
    before = len(stack.upstream.seen)
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=1) as patient:
        await patient.chat.completions.create(model="llama", messages=[])
    assert len(stack.upstream.seen) == before + 1


async def test_never_more_are_under_way_than_the_key_may_have(stack: Stack, engine: Engine) -> None:
    key = await a_key(stack, parallel=3)
    asked = [asyncio.create_task(stack.post(CHAT, BODY, key)) for _ in range(40)]
    await eventually(lambda: engine.under_way + sum(each.done() for each in asked) == 40)
    refused = next(each.result() for each in asked if each.done())
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert (refused.error["code"], refused.error["type"]) == ("rate_limit_exceeded", "requests")
    assert "3 requests under way" in refused.error["message"]
    engine.go.set()
    answers = await asyncio.gather(*asked)
    assert 1 <= statuses(answers)[200] <= 3
    for _ in range(20):
        assert (await post_alone(stack, BODY, key)).status == 200
    assert engine.most <= 3


async def test_places_are_all_used(stack: Stack, engine: Engine) -> None:
    key = await a_key(stack, parallel=3)
    asked = []
    for number in range(1, 4):
        asked.append(asyncio.create_task(stack.post(CHAT, BODY, key)))
        await eventually(lambda number=number: engine.under_way == number)  # type: ignore[misc]
    assert (await stack.post(CHAT, BODY, key)).status == 429
    engine.go.set()
    assert statuses(await asyncio.gather(*asked)) == {200: 3}


async def test_the_next_request_of_a_connection_finds_the_place_of_the_one_before(stack: Stack) -> None:
    key = await a_key(stack, parallel=1)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as one:
        alone = dataclasses.replace(stack, http=one)
        answers = [await alone.post(CHAT, BODY, key) for _ in range(60)]
    assert statuses(answers) == {200: 60}


@pytest.mark.parametrize("stream", [False, True], ids=["before the first token", "in mid-stream"])
async def test_a_client_that_leaves_frees_its_place(stack: Stack, engine: Engine, stream: bool) -> None:
    engine.stream = stream
    key = await a_key(stack, parallel=1)
    for _ in range(10):
        leaving = asyncio.create_task(post_alone(stack, BODY, key))
        await eventually(lambda: engine.under_way == 1)
        assert (await stack.post(CHAT, BODY, key)).status == 429
        leaving.cancel()
        await eventually(lambda: engine.under_way == 0)
    assert engine.most == 1
    engine.go.set()
    assert (await post_alone(stack, BODY, key)).status == 200


async def test_a_request_that_fails_upstream_frees_its_place(stack: Stack) -> None:
    async def lost(_: web.Request) -> web.StreamResponse:
        return web.Response(status=502)

    key = await a_key(stack, parallel=1)
    stack.upstream.handler = lost
    assert [(await post_alone(stack, BODY, key)).status for _ in range(5)] == [502] * 5


async def test_what_another_limit_refused_has_used_up_no_request(stack: Stack, engine: Engine) -> None:
    async def ask(key: str) -> Sequence[Answer]:
        engine.go.clear()
        first = asyncio.create_task(stack.post(CHAT, BODY, key))
        await eventually(lambda: engine.under_way == 1)
        refused = [await stack.post(CHAT, BODY, key) for _ in range(5)]
        engine.go.set()
        return [await first, *refused, *[await post_alone(stack, BODY, key) for _ in range(2)]]

    answers = await in_one_minute(stack, ask, parallel=1, requestsPerMinute=2)
    assert [each.status for each in answers] == [200, *[429] * 5, 200, 429]


async def test_openais_client_asks_again_after_the_second_that_it_is_told(stack: Stack, engine: Engine) -> None:
    key = await a_key(stack, parallel=1)
    first = asyncio.create_task(stack.post(CHAT, BODY, key))
    await eventually(lambda: engine.under_way == 1)
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=3) as client:
        second = asyncio.create_task(client.chat.completions.create(model="llama", messages=[]))
        asyncio.get_running_loop().call_later(0.5, engine.go.set)
        assert (await second).choices[0].message.content == "Paris"
    assert (await first).status == 200
    assert (engine.served, engine.most) == (2, 1)


async def test_a_key_beyond_its_limit_takes_nothing_from_another(stack: Stack) -> None:
    other = await a_key(stack)
    flooders, flooded, passed_by = 9, 0, []

    async def flood(key: str) -> Sequence[Answer]:
        async def hammer() -> list[Answer]:
            nonlocal flooded
            found = []
            for _ in range(200):
                found.append(await stack.post(CHAT, BODY, key))
                flooded += 1
            return found

        async def work() -> list[Answer]:
            found = []
            for _ in range(100):
                before = flooded
                found.append(await stack.post(CHAT, BODY, other))
                passed_by.append(flooded - before)
            return found

        passed_by.clear()
        return list(itertools.chain(*await asyncio.gather(*(hammer() for _ in range(flooders)), work())))

    answers = await in_one_minute(stack, flood, requestsPerMinute=5)
    assert statuses(answers) == {200: 5 + 100, 429: flooders * 200 - 5}
    assert statuses(answers[-100:]) == {200: 100}
    assert len(stack.upstream.seen) == 105
    # While one request of the other key is served, each flooder is answered a few times at most: no queue behind them.
    assert sorted(passed_by)[98] <= 8 * flooders


@pytest.mark.parametrize("path", [CHAT, f"/team-a/llama{CHAT}"], ids=["shared URL", "its own"])
@pytest.mark.parametrize("limits", [{"requestsPerMinute": 1}, {"parallel": 1}], ids=["requests", "parallel"])
async def test_a_client_that_is_still_sending_hears_why_it_is_refused(
    stack: Stack, engine: Engine, limits: dict[str, int], path: str
) -> None:
    async def ask(key: str) -> Sequence[Answer]:
        engine.go.clear()
        first = asyncio.create_task(stack.post(CHAT, BODY, key))
        await eventually(lambda: engine.under_way == 1)
        headers = {"Authorization": f"Bearer {key}"}
        large = [io.BytesIO(b'{"model": "llama", "a": "' + b"x" * 4_000_000 + b'"}') for _ in range(10)]
        found = [await stack.ask("POST", path, data=body, headers=headers) for body in large]
        engine.go.set()
        assert (await first).status == 200
        return found

    for answer in await in_one_minute(stack, ask, **limits):
        assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["retry-after"].isdigit()


async def test_bodies_that_the_activator_reads_count_as_all_others(stack: Stack) -> None:
    async def ask(key: str) -> Sequence[Answer]:
        large = {**BODY, "a": "x" * 1_000_000}
        return [await post_alone(stack, body, key) for body in (large, BODY, large, BODY)]

    answers = await in_one_minute(stack, ask, requestsPerMinute=2, parallel=1)
    assert [each.status for each in answers] == [200, 200, 429, 429]
    assert len(stack.upstream.seen) == 2


async def test_an_unlimited_key_is_told_of_no_limit(stack: Stack) -> None:
    answer = await stack.post(CHAT, BODY, await a_key(stack))
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


async def test_limits_that_are_changed_hold_at_once(stack: Stack) -> None:
    number = next(NUMBERS)
    for limits, status in (({"parallel": 1}, 200), ({"requestsPerMinute": 1}, 200), ({}, 200)):
        await stack.put("apikeys", apikey(number, limits=limits))
        answer = await stack.post(CHAT, BODY, secret_key(number))
        assert answer.status == status
        assert ("x-ratelimit-limit-requests" in answer.headers) is ("requestsPerMinute" in limits)
