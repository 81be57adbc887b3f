"""Keys as an attacker and as a rotation see them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

BODY = {"model": "llama"}
CHAT = "/v1/chat/completions"
PAIRS = 5000

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running() as found:
        await found.put("llmservices", llmservice("llama", address=found.upstream.address))
        yield found


async def test_an_id_that_exists_is_not_told_from_one_that_does_not_by_its_time(stack: Stack) -> None:
    await stack.put("apikeys", apikey(1, limits={"requestsPerMinute": 5, "parallel": 1}))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.settings.public_port)

    async def ask(key: str) -> tuple[float, bytes]:
        began = time.perf_counter()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-Request-Id: r\r\nAuthorization: Bearer {key}\r\n"
        writer.write(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        return time.perf_counter() - began, answer.split(b"\r\n")[0] + body

    known_was_slower, bodies = 0, set()
    for _ in range(PAIRS):
        times = {}
        for known in random.sample((True, False), 2):
            times[known], body = await ask(secret_key(1 if known else 99, "t" * 43))
            bodies.add(body)
        known_was_slower += times[True] > times[False]
    writer.close()
    assert len(bodies) == 1
    assert b" 401 " in bodies.pop()
    # As of a coin: five times the standard deviation to each side.
    assert abs(known_was_slower - PAIRS / 2) < 5 * (PAIRS**0.5) / 2


async def test_while_a_new_key_is_shown_both_work_and_then_the_one_before_until_its_end(stack: Stack) -> None:
    await stack.put("apikeys", apikey(10))

    async def statuses() -> list[int]:
        return [(await stack.post(CHAT, BODY, secret_key(number))).status for number in (11, 10)]

    assert await statuses() == [401, 200]
    rotated = apikey(11, previous=10) | {"metadata": apikey(10)["metadata"]}
    await stack.put("apikeys", rotated)
    assert await statuses() == [200, 200]
    end = datetime.now(UTC) + timedelta(seconds=1)
    before = rotated["status"]["previous"] | {"validUntil": end.isoformat()}
    await stack.put("apikeys", rotated | {"status": rotated["status"] | {"previous": before}})

    async def ended() -> bool:
        found, now = await statuses(), datetime.now(UTC)
        assert found == [200, 200] or now >= end
        return found == [200, 401]

    await eventually(ended, within=10, every=0.02)


async def test_the_models_that_the_key_before_sees_are_those_of_its_successor(stack: Stack) -> None:
    rotated = apikey(21, previous=20, models=["ll*"], until="2999-01-01T00:00:00Z")
    await stack.put("apikeys", rotated)
    seen = [(await stack.get("/v1/models", secret_key(number))).body for number in (20, 21)]
    assert seen[0] == seen[1]
    assert b'"llama"' in seen[0]
    assert (await stack.post("/team-a/llama/v1/completions", BODY, secret_key(20))).status == 200


async def test_revoking_a_rotated_key_ends_both(stack: Stack) -> None:
    rotated = apikey(31, previous=30, until="2999-01-01T00:00:00Z")
    await stack.put("apikeys", rotated)
    await stack.delete("apikeys", rotated)
    assert [(await stack.post(CHAT, BODY, secret_key(number))).status for number in (30, 31)] == [401, 401]
