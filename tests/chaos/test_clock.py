"""The clock of some or all processes is set an hour ahead or back while they work, and then right again."""

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.chaos import worker
from tests.chaos.clients import Clients, plans
from tests.chaos.clock import Clock, settable_clock
from tests.chaos.engine import read_book
from tests.chaos.judgement import Judgement, judge, told
from tests.chaos.site import KEY, Site, Variables, site_running
from tests.eventually import eventually
from tests.unit.gateway.builders import apikey, secret_key
from tests.unit.gateway.ledger.builders import budget

HOUR_S = 3600
NOON_S = 12 * HOUR_S + 1
HEARD_S = 30.0
"""Seconds in which a worker, the ledger and gateways tell each other, on a busy machine."""
SPEND = 20
"""Tokens that one request takes."""
_REQUESTS, _AT_ONCE = 90, 8
_SYNCED = re.compile(r"^llmservice_gateway_last_ledger_sync_timestamp_seconds (\S+)$", re.MULTILINE)

Said = tuple[int, str | None]
ANSWERED: Said = (200, None)
LIMITED: Said = (429, "rate_limit_exceeded")
SPENT: Said = (429, "insufficient_quota")
UNKNOWN: Said = (401, "invalid_api_key")

PARTS = ("gateways", "ledger", "worker")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("step", [HOUR_S, -HOUR_S], ids=["ahead", "back"]),
]
of_whom = pytest.mark.parametrize("who", [PARTS, PARTS[:1], PARTS[1:2]], ids=["all", "gateways", "ledger"])


@dataclass
class World:
    """A site whose clocks, by part, can be set, and a session to ask its gateways."""

    site: Site
    clocks: Mapping[str, Clock]
    http: aiohttp.ClientSession
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(100))

    def step(self, parts: Sequence[str], seconds: float) -> None:
        """Sets the clocks of these parts."""
        for part in parts:
            self.clocks[part].step(seconds)

    def next_minute(self) -> None:
        """A minute of the clock has just begun."""
        self.step(PARTS, self.clocks["gateways"].left_of_minute + 1)

    async def a_key(self, budget_name: str | None = None, **fields: Any) -> str:
        """A key that nobody has used, known to both gateways; `fields` as of `apikey`."""
        number = next(self.numbers)
        raw = apikey(number, worker.NAMESPACE, **fields)
        raw["spec"] |= {"budgetRef": {"name": budget_name}} if budget_name else {}
        self.site.ledger.cluster.put("apikeys", raw)
        await eventually(partial(self._know, secret_key(number)), HEARD_S, 0.05)
        return secret_key(number)

    async def ask(self, key: str, url: str | None = None) -> Said:
        """Status and error code of a request for SPEND tokens, at the first gateway unless `url` is another's."""
        messages = [{"role": "user", "content": "word " * (SPEND // 2)}]
        body = {"model": worker.MODEL, "max_tokens": SPEND // 2, "messages": messages}
        url = f"{url or self.site.gateways[0].url}/v1/chat/completions"
        async with self.http.post(url, json=body, headers=_keyed(key)) as answer:
            if answer.status == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 86_400
            return answer.status, None if answer.status == 200 else (await answer.json())["error"]["code"]

    async def statuses(self, key: str, times: int) -> list[int]:
        """Of requests at the first gateway, one after the other."""
        return [(await self.ask(key))[0] for _ in range(times)]

    async def everywhere(self, key: str) -> set[Said]:
        """What the gateways say."""
        return {await self.ask(key, each.url) for each in self.site.gateways}

    async def answers(self, key: str) -> bool:
        """Whether the first gateway does."""
        return await self.ask(key) == ANSWERED

    async def comes_to(self, key: str, answer: Said) -> None:
        """Waits until all gateways say so."""

        async def met() -> bool:
            return await self.everywhere(key) == {answer}

        await eventually(met, HEARD_S, 0.05)

    async def told_since(self, since: float) -> bool:
        """Whether the ledger has answered all gateways since that instant of their clock, to which it was just set."""
        found = []
        for each in self.site.gateways:
            async with self.http.get(f"{each.agent_url}/metrics") as answer:
                found += [float(text) for text in _SYNCED.findall(await answer.text())]
        assert len(found) == len(self.site.gateways)
        return all(since + 1 < each < since + HOUR_S / 2 for each in found)

    async def judged(self, answered: Mapping[str, tuple[int, int]]) -> Judgement:
        """All requests of this site until now."""
        now = self.clocks["ledger"].now
        events, sums = await told(self.site.ledger, now - 3 * HOUR_S, now + 3 * HOUR_S)
        return judge(read_book(self.site.folder / worker.BOOK), answered, events, sums)

    async def _know(self, key: str) -> bool:
        found = []
        for each in self.site.gateways:
            async with self.http.get(f"{each.url}/v1/models", headers=_keyed(key)) as answer:
                found.append(answer.status)
        return found == [200] * len(found)


def _keyed(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with ExitStack() as stack:
        clocks = {part: stack.enter_context(settable_clock(tmp_path_factory.mktemp(part))) for part in PARTS}
        ahead = NOON_S - clocks["gateways"].now % (24 * HOUR_S)  # far from the end of a day, with which budgets open
        for each in clocks.values():
            each.step(ahead)
        variables = Variables(**{part: each.variables for part, each in clocks.items()})
        folder = tmp_path_factory.mktemp("site")
        async with site_running(folder, "sqlite", variables) as site, aiohttp.ClientSession() as http:
            yield World(site, clocks, http)


@of_whom
async def test_a_limit_of_requests_holds_in_each_minute_of_the_gateways_clock(
    world: World, who: Sequence[str], step: int
) -> None:
    key, admitted = await world.a_key(limits={"requestsPerMinute": 3}), [200] * 3 + [429] * 2
    world.next_minute()
    assert await world.statuses(key, 5) == admitted
    world.step(who, step)
    assert await world.statuses(key, 5) == (admitted if "gateways" in who else [429] * 5)
    world.step(who, -step)
    # Time that passes while HAProxy 2.6 works, not while it waits, is believed: entries of its tables may have ended.
    assert await world.statuses(key, 5) in ([429] * 5, admitted)
    world.next_minute()
    assert await world.statuses(key, 5) == admitted


@of_whom
async def test_a_limit_of_tokens_closes_and_opens_again_within_a_minute(
    world: World, who: Sequence[str], step: int
) -> None:
    key = await world.a_key(limits={"tokensPerMinute": SPEND})

    async def opens_and_closes() -> None:
        world.next_minute()
        await eventually(partial(world.answers, key), HEARD_S, 0.05)
        await world.comes_to(key, LIMITED)

    await opens_and_closes()
    world.step(who, step)
    if who == PARTS:  # where they disagree about the minute, no gateway knows of its tokens
        await opens_and_closes()
    world.step(who, -step)
    await opens_and_closes()


@of_whom
async def test_no_spent_budget_opens_and_no_other_closes(world: World, who: Sequence[str], step: int) -> None:
    for name, tokens in (("small", SPEND), ("wide", 10**9)):
        world.site.ledger.cluster.put("budgets", budget(name, worker.NAMESPACE, window="Day", tokens=tokens))
    spent, free = await world.a_key("small"), await world.a_key("wide")
    await world.comes_to(spent, SPENT)
    asked = 0

    async def holds_until_told(since: float) -> bool:
        nonlocal asked
        told_before = await world.told_since(since)
        assert await world.everywhere(spent) == {SPENT}
        assert await world.everywhere(free) == {ANSWERED}
        asked += 1
        return told_before

    for seconds in (step, -step):
        world.step(who, seconds)
        await eventually(partial(holds_until_told, world.clocks["gateways"].now), HEARD_S, 0.05)
    assert asked > 2


@of_whom
async def test_keys_end_by_the_gateways_clock_and_rightly_once_that_is_right(
    world: World, who: Sequence[str], step: int
) -> None:
    clock = world.clocks["gateways"]
    always, ending = await world.a_key(), await world.a_key(expires=clock.at(HOUR_S / 2))
    ended = await world.a_key(expires=clock.at(HOUR_S / 6))
    world.step(PARTS, HOUR_S / 6)
    right = {always: ANSWERED, ending: ANSWERED, ended: UNKNOWN}
    wrong = {ending: UNKNOWN} if step > 0 else {ended: ANSWERED}
    assert [await world.everywhere(key) for key in right] == [{each} for each in right.values()]
    world.step(who, step)
    seen = right | (wrong if "gateways" in who else {})
    assert [await world.everywhere(key) for key in right] == [{each} for each in seen.values()]
    world.step(who, -step)
    assert [await world.everywhere(key) for key in right] == [{each} for each in right.values()]


async def test_nobody_is_refused_and_each_event_counts_once(world: World, step: int) -> None:
    clients = Clients([each.url for each in world.site.gateways], KEY, worker.MODEL)

    async def set_clocks() -> None:
        for at, seconds in ((_REQUESTS // 3, step), (_REQUESTS * 2 // 3, -step)):
            await eventually(partial(has_ended, at), HEARD_S)
            world.step(PARTS, seconds)

    def has_ended(count: int) -> bool:
        return clients.told.ended >= count

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(set_clocks())
        tasks.create_task(clients.run(plans(random.Random(7), _REQUESTS, leaving=0), _AT_ONCE))
    # None, but where a step falls into HAProxy's work (as above): then what was under way has lasted too long.
    assert clients.told.broken <= _AT_ONCE
    assert clients.told.answered == _REQUESTS - clients.told.broken

    async def all_is_there() -> bool:
        return (await world.judged(clients.told.billed)).lost == 0

    await eventually(all_is_there, HEARD_S, 0.1)
    assert (await world.judged(clients.told.billed)).is_sound
