"""Streams against an OpenAI endpoint: so many at once, each measured by its own clock."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

import aiohttp

TOKENS: Final = 64
_PROMPT: Final = "Write a short story about a lighthouse keeper and the sea."


@dataclass(frozen=True)
class Target:
    """An endpoint: base URL that ends in /v1, model, key."""

    name: str
    base_url: str
    model: str
    key: str = ""


@dataclass(frozen=True)
class Stream:
    """One answer: seconds to the first token and in all, tokens generated; `error` where there was none."""

    first: float
    total: float
    tokens: int
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """One target at one concurrency for one round."""

    streams: Sequence[Stream]
    wall: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all streams over the time that they took together."""
        return sum(stream.tokens for stream in self.streams) / self.wall

    @property
    def first_token_p50(self) -> float:
        """Median time to first token, seconds."""
        return median(stream.first for stream in self.streams)

    @property
    def first_token_p99(self) -> float:
        """99th percentile of the time to first token, seconds; with few streams the largest."""
        firsts = [stream.first for stream in self.streams]
        return max(firsts) if len(firsts) < 3 else quantiles(firsts, n=100, method="inclusive")[98]

    @property
    def per_token_p50(self) -> float:
        """Median time per token after the first, seconds."""
        return median((each.total - each.first) / max(each.tokens - 1, 1) for each in self.streams)

    @property
    def errors(self) -> list[str]:
        """What went wrong."""
        return [stream.error for stream in self.streams if stream.error]


async def run_cell(target: Target, at_once: int, streams: int) -> Cell:
    """`streams` answers of TOKENS tokens each, `at_once` under way."""
    gate = asyncio.Semaphore(at_once)
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        begun = time.monotonic()

        async def one() -> Stream:
            async with gate:
                return await stream(session, target)

        answers = await asyncio.gather(*(one() for _ in range(streams)))
        return Cell(answers, time.monotonic() - begun)


async def stream(session: aiohttp.ClientSession, target: Target, tokens: int = TOKENS) -> Stream:
    """One streamed chat completion of exactly `tokens` tokens."""
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    begun = time.monotonic()
    first, counted = 0.0, 0
    async with session.post(f"{target.base_url}/chat/completions", json=body, headers=headers) as response:
        if response.status != 200:
            return Stream(0, time.monotonic() - begun, 0, f"HTTP {response.status}: {(await response.text())[:200]}")
        async for line in response.content:
            if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
                continue
            event = json.loads(line[6:])
            if "error" in event:
                return Stream(first, time.monotonic() - begun, counted, str(event["error"]))
            if not first and any(choice["delta"].get("content") for choice in event["choices"]):
                first = time.monotonic() - begun
            counted = (event.get("usage") or {}).get("completion_tokens", counted)
    return Stream(first, time.monotonic() - begun, counted)
