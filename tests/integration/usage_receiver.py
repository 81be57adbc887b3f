"""A ledger as far as workers know it: real HTTP, which stores, fails, refuses, holds back and dies as it is told."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from llmservice_worker.usage.event import UsageEvent


class Receiver:
    """`failures`: statuses of the next posts, none of which is stored. `lets_go`: whether posts are answered at all."""

    def __init__(self) -> None:
        self.port = 0
        self.failures: deque[int] = deque()
        self.refused: set[str] = set()
        self.lets_go = asyncio.Event()
        self.lets_go.set()
        self.reached = asyncio.Event()
        self.stored: Counter[str] = Counter()
        self.tokens: list[str] = []
        self.sizes: list[int] = []
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Its base URL, which stays when it is started again."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, at the same port as before."""
        app = web.Application()
        app.router.add_post("/v1/events", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def die(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        events: list[dict[str, Any]] = (await request.json())["events"]
        self.tokens.append(request.headers["authorization"])
        self.sizes.append(len(events))
        self.reached.set()
        if self.failures:
            return web.json_response({"error": {"message": "told to"}}, status=self.failures.popleft())
        for index, event in enumerate(events):
            assert set(event) == set(UsageEvent.__dataclass_fields__)
            if event["id"] in self.refused:
                error = {"message": "refused", "type": "t", "param": f"events[{index}].prompt_tokens", "code": None}
                return web.json_response({"error": error}, status=400)
        known = sum(event["id"] in self.stored for event in events)
        self.stored.update(event["id"] for event in events)
        await self.lets_go.wait()
        return web.json_response({"stored": len(events) - known, "known": known})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        receiver.lets_go.set()
        await receiver.die()
