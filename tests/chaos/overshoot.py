"""How far a Budget is overspent: streams of several keys that share it, through two gateways, until both refuse all."""

import asyncio
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import openai

from tests.chaos import worker
from tests.chaos.judgement import told
from tests.chaos.site import Site, site_running
from tests.eventually import eventually
from tests.unit.gateway.builders import apikey, secret_key
from tests.unit.gateway.ledger.builders import budget

Json = dict[str, Any]

BUDGET: Final = 20_000
AT_ONCE: Final = 16
"""Streams under way together until the Budget is spent."""
_KEYS: Final = range(2, 6)
_WORDS: Final = 20
_TOKENS: Final = (100, 300)
"""Of an answer: they end one by one, not all together."""
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True)
class Asked:
    """One request by its client's clock, in seconds; `id` is that of its answer, None where it was refused."""

    gateway: int
    began: float
    ended: float
    id: str | None


def figures(bound: int, asked: Sequence[Asked], billed: Mapping[str, int]) -> Json:
    """`bound` and `billed`, by the answer's id, are tokens. All that was asked must be more than the bound.

    `in_flight` were under way when the answers that had ended came to the bound, `late` came after that and before
    the news; `news_s` is how long that took. Who came after a gateway's first refusal was `let_in` by mistake.
    """
    answered = sorted((each for each in asked if each.id is not None), key=lambda each: each.ended)
    closed = {each.gateway: each.ended for each in sorted(asked, key=lambda each: -each.ended) if each.id is None}
    sums = itertools.accumulate(billed[str(each.id)] for each in answered)
    first = next(place for place, used in enumerate(sums) if used >= bound)
    full, over = answered[first].ended, answered[first:]
    under_way, late = ([each for each in over if (each.began > full) is after] for after in (False, True))
    return {
        "budget_tokens": bound,
        "billed_tokens": sum(billed.values()),
        "overshoot_tokens": sum(billed.values()) - bound,
        "in_flight": len(under_way),
        "in_flight_tokens": sum(billed[str(each.id)] for each in under_way),
        "late": len(late),
        "late_tokens": sum(billed[str(each.id)] for each in late),
        "news_s": round(max([*(each.began for each in late), full]) - full, 3),
        "let_in": sum(each.began > closed[each.gateway] for each in answered),
    }


async def run(folder: Path) -> Json:
    """The figures of one Budget, with SQLite."""
    began = time.time()
    async with site_running(folder, "sqlite") as site, AsyncExitStack() as stack:
        site.ledger.cluster.put("budgets", budget("shared", worker.NAMESPACE, window="Once", tokens=BUDGET))
        for number in _KEYS:
            key = apikey(number, worker.NAMESPACE)
            key["spec"]["budgetRef"] = {"name": "shared"}
            site.ledger.cluster.put("apikeys", key)
        clients = [
            [await stack.enter_async_context(_client(each.url, secret_key(number))) for each in site.gateways]
            for number in _KEYS
        ]
        for each in itertools.chain(*clients):
            await eventually(partial(_opens, each), _PATIENCE_S, 0.05)
        found = await asyncio.gather(*(_until_refused(clients[turn % len(clients)], turn) for turn in range(AT_ONCE)))
        asked = list(itertools.chain(*found))
        return figures(BUDGET, asked, await _billed(site, began, sum(each.id is not None for each in asked)))


async def _until_refused(gateways: Sequence[openai.AsyncOpenAI], turn: int) -> list[Asked]:
    """Asks the gateways in turn, until each has refused."""
    asked: list[Asked] = []
    chance = random.Random(turn)
    for gateway in (number % len(gateways) for number in itertools.count(turn)):
        asked.append(await _ask(gateways[gateway], gateway, chance.randrange(*_TOKENS)))
        if len({each.gateway for each in asked if each.id is None}) == len(gateways):
            break
    return asked


async def _ask(client: openai.AsyncOpenAI, gateway: int, tokens: int) -> Asked:
    """One stream to its end; raises what is neither an answer nor a refusal for a spent Budget."""
    began, name = time.monotonic(), None
    messages: Any = [{"role": "user", "content": "word " * _WORDS}]
    try:
        async with await client.chat.completions.create(
            model=worker.MODEL, messages=messages, max_tokens=tokens, stream=True
        ) as answer:
            async for chunk in answer:
                name = chunk.id.removeprefix("chatcmpl-")
    except openai.RateLimitError as refused:
        if refused.code != "insufficient_quota":
            raise
    return Asked(gateway, began, time.monotonic(), name)


async def _billed(site: Site, since: float, answers: int) -> Mapping[str, int]:
    """Tokens by request id, once the ledger has all answers."""
    found: dict[str, int] = {}

    async def complete() -> bool:
        events, _ = await told(site.ledger, since, time.time() + 60)
        found.update({each.request_id: sum(each.tokens) for each in events})
        return len(found) == answers

    await eventually(complete, _PATIENCE_S, 0.1)
    return found


async def _opens(client: openai.AsyncOpenAI) -> bool:
    try:
        await client.models.list()
    except openai.AuthenticationError:  # its gateway does not know the key yet
        return False
    return True


def _client(url: str, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
