"""Two gateways before one ledger, all of them real: what the one admits, the other knows; spent budgets; admins."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration import ledger_stack
from tests.integration.gateway_stack import Stack, running
from tests.integration.ledger_stack import GATEWAY_TOKEN, ledger_running
from tests.unit.gateway.builders import apikey, llmservice, secret_key
from tests.unit.gateway.ledger import builders

BODY = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"
NUMBERS = itertools.count(100)
SYNC = "llmservice_gateway_last_ledger_sync_timestamp_seconds"
SYNCED = 3.0
"""Seconds in which gateways that ask every second know what happened, with room for a busy machine."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Site:
    """Gateways and their ledger, over the same objects."""

    gateways: list[Stack]
    ledger: ledger_stack.Stack
    token: Path

    async def put(self, raw: Any) -> None:
        """An APIKey, as all of them see it."""
        self.ledger.cluster.put("apikeys", raw)
        for each in self.gateways:
            await each.put("apikeys", raw)

    async def a_key(self, **fields: Any) -> int:
        """A key that nobody has used; `fields` as of `apikey`, and budget."""
        number = next(NUMBERS)
        await self.put(a_raw_key(number, **fields))
        return number

    async def spend(self, number: int, tokens: int, namespace: str = "team-a") -> None:
        """A worker tells the ledger of a completion."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = builders.usage(now, key_id=f"{number:016x}", namespace=namespace, prompt_tokens=tokens)
        said = await self.ledger.bill([event | {"cached_tokens": 0, "completion_tokens": 0}], namespace)
        assert said == {"stored": 1, "known": 0}


def a_raw_key(number: int, budget: str | None = None, **fields: Any) -> Any:
    raw = apikey(number, **fields)
    raw["spec"] |= {"budgetRef": {"name": budget}} if budget else {}
    return raw


@asynccontextmanager
async def beside(ledger: ledger_stack.Stack, token: Path, name: str) -> AsyncIterator[Stack]:
    """A gateway of that name which knows the model."""
    async with running(ledger_url=ledger.ledger.url, ledger_token=token, name=name) as gateway:
        await gateway.put("llmservices", llmservice("llama", address=gateway.upstream.address))
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("ledger")
    token = folder / "token"
    token.write_text(GATEWAY_TOKEN)
    services = [builders.priced("0", "0", "0", each) for each in ("team-a", "team-b")]
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(ledger_running(folder, {"llmservices": services}))
        gateways = [await stack.enter_async_context(beside(ledger, token, name)) for name in ("a", "b")]
        yield Site(gateways, ledger, token)


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    for each in site.gateways:
        each.upstream.seen.clear()


async def within_a_minute(attempt: Callable[[], Awaitable[None]]) -> None:
    """Once more where the clock's minute, which limits speak of, ended in between."""
    while True:
        began = time.time() // 60
        try:
            await attempt()
        except (AssertionError, TimeoutError):
            if time.time() // 60 == began:
                raise
        else:
            return


async def test_requests_at_one_gateway_are_known_at_the_other(site: Site) -> None:
    a, b = site.gateways

    async def attempt() -> None:
        key = secret_key(await site.a_key(limits={"requestsPerMinute": 5}))
        assert [(await a.post(CHAT, BODY, key)).status for _ in range(4)] == [200] * 4
        asked = 0

        async def knows() -> bool:
            nonlocal asked
            asked += 1
            return (await b.post(CHAT, BODY, key)).status == 429

        await eventually(knows, within=SYNCED, every=0.2)
        assert asked <= 5 + 1  # at the worst what the limit lets in at each gateway
        answer = await b.post(CHAT, BODY, key)
        assert (answer.status, answer.headers["x-ratelimit-remaining-requests"]) == (429, "0")

    await within_a_minute(attempt)


async def test_a_gateway_that_starts_anew_knows_what_it_admitted_before(site: Site) -> None:
    async def attempt() -> None:
        number = await site.a_key(limits={"requestsPerMinute": 5})
        raw, key = a_raw_key(number, limits={"requestsPerMinute": 5}), secret_key(number)

        async def told() -> bool:
            used = (await site.ledger.sync(gateway="test"))["keys"].get(f"{number:016x}")
            return used is not None and used["requests"] == 5

        async with beside(site.ledger, site.token, "c") as before:
            await before.put("apikeys", raw)
            assert [(await before.post(CHAT, BODY, key)).status for _ in range(5)] == [200] * 5
            await eventually(told, within=SYNCED, every=0.1)
        async with beside(site.ledger, site.token, "c") as after:
            await after.put("apikeys", raw)
            for _ in range(2):  # the first may have begun before the key was known
                last = after.figure(SYNC)
                await eventually(lambda last=last: after.figure(SYNC) > last, within=SYNCED)  # type: ignore[misc]
            answer = await after.post(CHAT, BODY, key)
            assert (answer.status, after.upstream.seen) == (429, [])

    await within_a_minute(attempt)


async def test_tokens_that_workers_tell_of_close_a_key_until_the_minute_ends(site: Site) -> None:
    async def attempt() -> None:
        number = await site.a_key(limits={"tokensPerMinute": 100, "requestsPerMinute": 1000})
        key = secret_key(number)

        async def told(left: str) -> bool:
            found = [await each.post(CHAT, BODY, key) for each in site.gateways]
            return [each.headers["x-ratelimit-remaining-tokens"] for each in found] == [left] * 2

        assert await told("100")
        for left in ("40", "0"):
            await site.spend(number, 60)
            await eventually(lambda left=left: told(left), within=SYNCED, every=0.1)  # type: ignore[misc]
        for each in site.gateways:
            answer = await each.post(CHAT, BODY, key)
            assert (answer.status, answer.error["type"]) == (429, "tokens")
            assert answer.headers["x-ratelimit-limit-tokens"] == "100"
            assert answer.headers["x-ratelimit-reset-tokens"] == answer.headers["retry-after"] + "s"

    await within_a_minute(attempt)


async def test_a_spent_budget_closes_its_keys_everywhere_before_any_limit(site: Site) -> None:
    site.ledger.cluster.put("budgets", builders.budget("daily", window="Day", tokens=100))
    number, other = await site.a_key(budget="daily", limits={"parallel": 1}), await site.a_key(budget="daily")
    free = await site.a_key()
    b = site.gateways[1]
    assert (await b.post(CHAT, BODY, secret_key(number))).status == 200
    await site.spend(number, 100)

    async def closed() -> bool:
        answers = [await each.post(CHAT, BODY, secret_key(number)) for each in site.gateways]
        return all(b"insufficient_quota" in answer.body for answer in answers)

    await eventually(closed, within=SYNCED, every=0.05)
    for key in (number, other):
        answer = await b.post(CHAT, BODY, secret_key(key))
        assert (answer.status, answer.error["code"], answer.error["type"]) == (429, *["insufficient_quota"] * 2)
        assert "`daily`" in answer.error["message"]
        assert answer.headers["x-should-retry"] == "false"
        midnight = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert abs(int(answer.headers["retry-after"]) - (midnight - datetime.now(UTC)).total_seconds()) < 30
    assert (await b.get("/v1/models", secret_key(number))).status == 200
    assert (await b.post(CHAT, BODY, secret_key(free))).status == 200
    site.ledger.cluster.put("budgets", builders.budget("daily", window="Day", tokens=1000))

    async def opened() -> bool:
        return all([(await each.post(CHAT, BODY, secret_key(number))).status == 200 for each in site.gateways])

    await eventually(opened, within=SYNCED, every=0.05)


async def test_clients_do_not_ask_again_where_a_budget_is_spent(site: Site) -> None:
    site.ledger.cluster.put("budgets", builders.budget("tiny", window="Once", tokens=1))
    number = await site.a_key(budget="tiny")
    await site.spend(number, 1)
    gateway, key = site.gateways[0], secret_key(number)

    async def closed() -> bool:
        return (await gateway.post(CHAT, BODY, key)).status == 429

    await eventually(closed, within=SYNCED, every=0.05)
    began = time.monotonic()
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=9) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="llama", messages=[])
    assert refused.value.code == "insufficient_quota"
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=key, max_retries=9) as other:
        with pytest.raises(anthropic.RateLimitError, match="rate_limit_error"):
            await other.messages.create(model="llama", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
    assert time.monotonic() - began < 30  # one that asked again would wait for a day


async def test_the_key_before_shares_limits_and_budget_with_the_key_that_took_its_place(site: Site) -> None:
    site.ledger.cluster.put("budgets", builders.budget("rotated", window="Once", tokens=100))
    before = await site.a_key(budget="rotated")
    number, end = next(NUMBERS), datetime.now(UTC) + timedelta(hours=1)
    rotated = a_raw_key(
        number, budget="rotated", previous=before, until=end.isoformat(), limits={"tokensPerMinute": 70}
    )
    rotated["metadata"]["name"] = f"key-{before}"
    await site.put(rotated)
    gateway = site.gateways[0]
    assert [(await gateway.post(CHAT, BODY, secret_key(each))).status for each in (before, number)] == [200, 200]
    await site.spend(before, 50)
    await site.spend(number, 50)

    async def spent() -> bool:
        answers = [await gateway.post(CHAT, BODY, secret_key(each)) for each in (before, number)]
        return [answer.status for answer in answers] == [429, 429] and all(
            answer.error["code"] == "insufficient_quota" for answer in answers
        )

    await eventually(spent, within=SYNCED, every=0.05)
    ended = a_raw_key(number, previous=before, until=datetime.now(UTC).isoformat())
    await site.put(ended | {"metadata": rotated["metadata"]})
    assert (await gateway.post(CHAT, BODY, secret_key(before))).status == 401


async def test_admins_see_their_namespace_and_those_of_the_release_see_all(site: Site) -> None:
    a, _ = site.gateways
    theirs = await site.a_key(namespace="team-b")
    await site.spend(theirs, 7, "team-b")
    admin = await site.a_key(role="Admin")
    root = await site.a_key(role="Admin", namespace="llmservice-system")
    path = f"/v1/organization/usage/completions?start_time={int(time.time()) - 3600}&group_by=project_id&limit=24"

    async def projects(number: int, **headers: str) -> set[str]:
        answer = await a.ask("GET", path, headers={"Authorization": f"Bearer {secret_key(number)}"} | headers)
        assert answer.status == 200, answer.body
        return {row["project_id"] for bucket in json.loads(answer.body)["data"] for row in bucket["results"]}

    assert await projects(admin) == {"team-a"}
    assert await projects(admin, **{"x-llmservice-admin": "*"}) == {"team-a"}
    assert {"team-a", "team-b"} <= await projects(root)
    bad = await a.get("/v1/organization/usage/completions", secret_key(admin))
    assert (bad.status, bad.error["param"]) == (400, "start_time")
    file = await a.get(
        f"/v1/organization/usage/export?start_time=1&end_time={int(time.time()) + 60}&format=csv", secret_key(root)
    )
    assert (file.status, file.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert file.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("role", "method", "path", "status", "code"),
    [
        ("Application", "GET", "/v1/organization/usage/completions", 403, "insufficient_permissions"),
        (None, "GET", "/v1/organization/usage/completions", 401, "invalid_api_key"),
        ("Admin", "POST", "/v1/organization/usage/completions", 405, "method_not_allowed"),
        ("Admin", "GET", "/v1/organization/../sync", 404, "unknown_url"),
        ("Admin", "GET", "/v1/organization/%2e%2e/metrics", 404, "unknown_url"),
        ("Admin", "GET", "/v1/organization/", 404, "unknown_url"),
        ("Admin", "GET", "/v1/organization", 404, "unknown_url"),
        ("Admin", "GET", "/team-a/llama/v1/organization/costs", 404, "unknown_url"),
        ("Admin", "GET", "/v2/organization/costs", 404, "unknown_url"),
        ("Admin", "POST", CHAT, 404, "model_not_found"),
        ("Admin", "POST", f"/team-a/llama{CHAT}", 404, "model_not_found"),
    ],
)
async def test_what_admin_keys_open_and_what_they_do_not(
    site: Site, role: str | None, method: str, path: str, status: int, code: str
) -> None:
    gateway = site.gateways[0]
    key = secret_key(await site.a_key(role=role)) if role else "none"
    raw = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    body = json.dumps(BODY).encode() if method == "POST" else b""
    answer = await gateway.raw(f"{raw}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code
    assert gateway.upstream.seen == []


async def test_a_revoked_key_is_refused_by_every_gateway_within_two_seconds_of_load(site: Site) -> None:
    number, busy = await site.a_key(), await site.a_key()
    refused: dict[str, float] = {}
    stop = asyncio.Event()

    async def load(gateway: Stack) -> None:
        while not stop.is_set():
            assert (await gateway.post(CHAT, BODY, secret_key(busy))).status == 200

    async def ask(gateway: Stack) -> None:
        while (await gateway.post(CHAT, BODY, secret_key(number))).status == 200:
            pass
        refused[gateway.settings.name] = time.monotonic()

    working = [asyncio.create_task(load(each)) for each in site.gateways for _ in range(8)]
    asking = [asyncio.create_task(ask(each)) for each in site.gateways]
    await asyncio.sleep(0)
    revoked = time.monotonic()
    await asyncio.gather(*(each.delete("apikeys", apikey(number)) for each in site.gateways))
    await asyncio.gather(*asking)
    stop.set()
    await asyncio.gather(*working)
    assert {name: at - revoked < 2 for name, at in refused.items()} == {"a": True, "b": True}


async def test_while_the_ledger_is_away_limits_hold_at_each_gateway_and_budgets_stay_spent(
    site: Site,
) -> None:
    site.ledger.cluster.put("budgets", builders.budget("gone", window="Once", tokens=1))
    blocked, limited, admin = await site.a_key(budget="gone"), await site.a_key(), await site.a_key(role="Admin")
    await site.spend(blocked, 1)
    a, b = site.gateways

    async def closed() -> bool:
        return all([(await each.post(CHAT, BODY, secret_key(blocked))).status == 429 for each in site.gateways])

    await eventually(closed, within=SYNCED, every=0.05)
    await site.ledger.ledger.kill()
    try:
        while True:
            began, limited = time.time() // 60, await site.a_key(limits={"requestsPerMinute": 3})
            found = [[(await each.post(CHAT, BODY, secret_key(limited))).status for _ in range(5)] for each in (a, b)]
            if time.time() // 60 == began:
                break
        assert found == [[200, 200, 200, 429, 429]] * 2
        assert await closed()
        answer = await a.get("/v1/organization/costs?start_time=1", secret_key(admin))
        assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
        assert answer.headers["retry-after"].isdigit()
    finally:
        await site.ledger.ledger.start()
    assert await closed()
    site.ledger.cluster.put("budgets", builders.budget("gone", window="Once", tokens=10))

    async def opened() -> bool:
        return all([(await each.post(CHAT, BODY, secret_key(blocked))).status == 200 for each in site.gateways])

    await eventually(opened, within=2 * SYNCED, every=0.05)
