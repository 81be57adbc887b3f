"""Whether the operator still sees: watchers alive, relist recent, loop not lagging; and its metrics, over HTTP."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from llmservice_operator.handlers import SHARED

_RELISTS_MISSED: Final = 3
_TICK: Final = 1.0
_LAG_LIMIT: Final = 10.0


@dataclass
class Health:
    """Signs of life; `monotonic` is a clock in seconds."""

    relist_seconds: float
    monotonic: Callable[[], float]
    watchers: Callable[[], list[str]]
    last_relist: float = field(init=False)
    last_tick: float = field(init=False)

    def __post_init__(self) -> None:
        self.last_relist = self.last_tick = self.monotonic()

    def relisted(self) -> None:
        """Note that a full relist was taken in just now."""
        self.last_relist = self.monotonic()

    async def tick(self) -> None:
        """Note every second that the loop runs."""
        while True:
            self.last_tick = self.monotonic()
            await asyncio.sleep(_TICK)

    def troubles(self) -> list[str]:
        """What is wrong, one line each; empty where all is well."""
        now = self.monotonic()
        found = [f"watcher is dead: {name}" for name in self.watchers()]
        if now - self.last_relist > _RELISTS_MISSED * self.relist_seconds:
            found.append(f"last relist was {now - self.last_relist:.0f} s ago")
        if now - self.last_tick > _LAG_LIMIT:
            found.append(f"event loop lags by {now - self.last_tick:.0f} s")
        return found


def dead_watchers(served: Collection[str], live: Collection[tuple[str, str]]) -> list[str]:
    """Of the kinds that the API server has those without a watcher, in any namespace in which others are watched."""
    namespaces = {namespace for plural, namespace in live if plural not in SHARED}
    some = {plural for plural, _ in live}
    dead = [plural for plural in served if plural not in some]
    dead += [
        f"{plural} in {namespace}"
        for plural in served
        if plural in some and plural not in SHARED
        for namespace in namespaces
        if (plural, namespace) not in live
    ]
    return sorted(dead)


async def serve(health: Health, registry: CollectorRegistry, port: int) -> web.AppRunner:
    """Answer /healthz and /metrics on a port; the caller cleans the runner up."""

    async def healthz(_: web.Request) -> web.Response:
        troubles = health.troubles()
        return web.Response(status=503 if troubles else 200, text="\n".join(troubles or ["ok"]) + "\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()
    return runner
