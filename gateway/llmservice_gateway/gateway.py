"""A gateway pod's one process tree: HAProxy, the agent beside it, and how they end together."""

import asyncio
import dataclasses
import logging
import os
import resource
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web

from llmservice_gateway import child
from llmservice_gateway.activator import Activator, activator
from llmservice_gateway.agent import Agent
from llmservice_gateway.desired import TOLD
from llmservice_gateway.inner import health_app, inner_app
from llmservice_gateway.ledger_client import LedgerClient
from llmservice_gateway.limiter import Limiter
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.pepper import Pepper
from llmservice_gateway.refusals import Refusals, counting
from llmservice_gateway.runtime import RuntimeSocket
from llmservice_gateway.settings import Settings
from llmservice_gateway.tracing import tracing
from llmservice_gateway.waker import Waker, Writer

_LOG: Final = logging.getLogger(__name__)
_SPARE_FILES: Final = 200
_LONGEST_LINE: Final = 32 * 1024
_LINGERING: Final = 1.0


class Gateway:
    """Runs HAProxy and an agent until told to stop, or until one of them ends."""

    def __init__(self, settings: Settings, pepper: Pepper, agent: Agent, metrics: Metrics, wakes: Writer) -> None:
        self._settings = settings
        self._pepper = pepper
        self._agent = agent
        self._metrics = metrics
        self._wakes = wakes
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begins to drain: not ready at once, no new connections after drain_delay, then the end."""
        self._stopping.set()

    async def run(self) -> int:
        """The exit status: 0 after a drain, 1 where HAProxy or the agent ended by itself."""
        async with AsyncExitStack() as servers:
            await servers.enter_async_context(tracing(self._settings, self._metrics))
            refusals = Refusals(self._metrics.refused, self._agent.service)
            await servers.enter_async_context(counting(self._settings, refusals))
            ledger = await servers.enter_async_context(ledger_client(self._settings))
            limiter = self._limiter(ledger) if ledger else None
            slow = await servers.enter_async_context(self._activator(limiter))
            for app, address, port in (
                (inner_app(self._agent, self._settings, slow, ledger), "127.0.0.1", self._settings.inner_port),
                (self._health(), self._settings.address, self._settings.agent_port),
            ):
                servers.push_async_callback((await _serve(app, address, port)).cleanup)
            haproxy = await child.start(self._settings, self._pepper)
            give_way(self._settings.agent_niceness)
            return await self._supervise(haproxy, self._work(limiter, slow))

    async def _supervise(self, haproxy: child.HAProxy, work: Coroutine[Any, Any, None]) -> int:
        agent = asyncio.create_task(work)
        ended = asyncio.create_task(haproxy.ended())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({agent, ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                _LOG.error("%s ended by itself", "HAProxy" if ended.done() else f"the agent ({_failure(agent)})")
                return 1
            await self._drain(haproxy, ended)
            return 0
        finally:
            haproxy.stop()
            await ended
            for task in (agent, stopping):
                task.cancel()
            await asyncio.gather(agent, stopping, return_exceptions=True)

    async def _work(self, limiter: Limiter | None, slow: Activator) -> None:
        """The agent with its activator and, where there is a ledger, the exchange with it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._agent.run())
            tasks.create_task(slow.run())
            if limiter is not None:
                tasks.create_task(limiter.run())

    def _limiter(self, ledger: LedgerClient) -> Limiter:
        store = RuntimeSocket(self._settings.socket, self._settings.maps, TOLD)
        # HAProxy's counts begin anew with each start, and what those before it counted is to be told as others' counts.
        name = f"{self._settings.name}/{secrets.token_hex(4)}"
        resync = self._settings.resync_interval
        return Limiter(ledger, store, self._metrics, lambda: self._agent.keys, name, time.time, resync)

    def _activator(self, limiter: Limiter | None) -> AbstractAsyncContextManager[Activator]:
        waker = Waker(self._wakes, self._settings.name, self._metrics, time.time)
        blocks = (lambda: limiter.blocks) if limiter else dict[str, str]
        return activator(self._agent, blocks, waker, self._settings, self._metrics, time.time)

    def _health(self) -> web.Application:
        return health_app(self._agent, self._metrics, lambda: not self._stopping.is_set())

    async def _drain(self, haproxy: child.HAProxy, ended: "asyncio.Task[int]") -> None:
        _LOG.info("draining")
        await asyncio.wait({ended}, timeout=self._settings.drain_delay)
        haproxy.drain()
        await asyncio.wait({ended}, timeout=self._settings.drain_timeout + 5)


def give_way(niceness: int) -> None:
    """HAProxy, which is started before, has a core first: each request passes there, here only the slow ones."""
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def within_open_files(settings: Settings) -> Settings:
    """The settings with as many connections as the hard limit of open files allows; HAProxy refuses more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (hard - _SPARE_FILES) // 2
    if hard == resource.RLIM_INFINITY or settings.max_connections <= most:
        return settings
    _LOG.warning("the limit of %d open files allows %d connections, not %d", hard, most, settings.max_connections)
    return dataclasses.replace(settings, max_connections=most)


@asynccontextmanager
async def ledger_client(settings: Settings) -> AsyncIterator[LedgerClient | None]:
    """A client of the ledger that the settings name; None where they name none."""
    if not settings.ledger_url:
        yield None
        return
    async with aiohttp.ClientSession() as session:
        yield LedgerClient(session, settings.ledger_url, settings.ledger_token)


async def _serve(app: web.Application, address: str, port: int) -> web.AppRunner:
    # A client that leaves ends what is done for it; header lines may be as long as HAProxy lets them be.
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        lingering_time=_LINGERING,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
    )
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner


def _failure(task: "asyncio.Task[None]") -> str:
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return repr(error)
