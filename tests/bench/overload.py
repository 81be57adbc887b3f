"""Several times the requests that a model takes: how long those admitted take, and how soon the others are told.

`full` is the engine's own batch, nobody waiting; `overload` is OVER times as many clients. One that is refused waits as
long as Retry-After says and asks again, as official clients do.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any, Final

import aiohttp

from tests.bench.load import Target
from tests.e2e.site import Site, ready_service

NAME: Final = "narrow"
BATCH: Final = 8
QUEUE: Final = 4
OVER: Final = 6
TOKENS: Final = 32
ANSWERS: Final = 12
"""Of each client of a full engine; the overload lasts until as many were answered in all."""


@dataclass(frozen=True)
class Reply:
    """One request: its status, and the seconds until its answer was whole."""

    status: int
    seconds: float


def start(site: Site, room: str) -> Target:
    """A service whose bounds are narrow, Ready."""
    engine = {"maxModelLen": 2048, "args": {"enforceEager": True, "maxNumSeqs": BATCH}}
    ready_service(site, room, NAME, model={}, engine=engine, hold={"maxRequests": QUEUE})
    return Target(NAME, f"{site.base_url}/v1", NAME, site.keys[room])


def stop(site: Site, room: str) -> None:
    """The service is gone when it returns."""
    site.api.kubectl("delete", "llm", NAME, f"--namespace={room}", "--ignore-not-found")


async def measure(target: Target) -> dict[str, Any]:
    """The figures of both loads; raises AssertionError where an answer is neither whole nor a 503."""
    await load(target, BATCH, BATCH)  # warm, not counted
    full = await load(target, BATCH, BATCH * ANSWERS)
    over = await load(target, BATCH * OVER, BATCH * ANSWERS)
    assert {reply.status for reply in full} == {200}, full
    assert {reply.status for reply in over} <= {200, 503}, over
    admitted = [reply.seconds for reply in over if reply.status == 200]
    refused = [reply.seconds for reply in over if reply.status == 503]
    return {
        "admitted_p99_over_full": round(_p99(admitted) / _p99([reply.seconds for reply in full]), 2),
        "overload_refused": len(refused),
        "refused_p50_ms": round(1000 * median(refused)) if refused else None,
        "refused_p99_ms": round(1000 * _p99(refused)) if refused else None,
    }


async def load(target: Target, clients: int, answers: int) -> Sequence[Reply]:
    """So many clients, one request each at a time, until `answers` were answered in all; those begun are ended."""
    replies: list[Reply] = []
    answered = 0
    timeout = aiohttp.ClientTimeout(total=300)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def client() -> None:
            nonlocal answered
            while answered < answers:
                reply, wait = await _ask(session, target)
                replies.append(reply)
                answered += reply.status == 200
                await asyncio.sleep(wait)

        await asyncio.gather(*(client() for _ in range(clients)))
    return replies


async def _ask(session: aiohttp.ClientSession, target: Target) -> tuple[Reply, float]:
    message = {"role": "user", "content": "Write a short story about a lighthouse keeper and the sea."}
    body = {"model": target.model, "messages": [message], "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}
    begun = time.monotonic()
    headers = {"Authorization": f"Bearer {target.key}"}
    async with session.post(f"{target.base_url}/chat/completions", json=body, headers=headers) as response:
        await response.read()
        wait = float(response.headers.get("retry-after", 0))
        return Reply(response.status, time.monotonic() - begun), wait


def _p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[98] if len(seconds) > 1 else seconds[0]
