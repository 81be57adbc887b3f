"""The replica's side port: `/metrics` (vLLM's figures and ours, one scrape), `/state` (what providers say), `/ready`.

It runs in the replica's own event loop, has no key and tells nothing of a prompt; a NetworkPolicy says who may ask.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from llmservice_worker import ports

_log = logging.getLogger(__name__)

PROXY: Final = "http://127.0.0.1:8000/-/healthz"
_PROXY_TIMEOUT: Final = ClientTimeout(total=2)


class SidePort:
    """Serves `registry`, and the present value of each provider under its name: JSON types, or what is awaited for one.

    A provider may be added to the mapping at any time. A port in use is logged and tried again every `retry` seconds:
    the replica before this one in the pod may still be ending, and an engine answers without its side port too.
    """

    def __init__(
        self,
        providers: Mapping[str, Callable[[], Any]],
        registry: CollectorRegistry,
        retry: float = 2.0,
        is_ready: Callable[[], bool] = lambda: True,
        proxy: str | None = None,
    ) -> None:
        """`proxy`: what must answer 200 beside `is_ready`, the health of Ray Serve's proxy in the same pod."""
        self._providers = providers
        self._registry = registry
        self._retry = retry
        self._is_ready = is_ready
        self._proxy = proxy
        self._runner: web.AppRunner | None = None
        self._opening: asyncio.Task[None] | None = None

    async def start(self, port: int = ports.SIDE, address: str | None = None) -> None:
        """Open the port (`address` None: all interfaces), or keep trying in the background; never raises for that."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/state", self._state)
        app.router.add_get("/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        if not await self._opened(port, address):
            self._opening = asyncio.create_task(self._open_later(port, address))

    async def stop(self) -> None:
        """Close the port, or give up opening it."""
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        if self._runner is not None:
            await self._runner.cleanup()

    async def _opened(self, port: int, address: str | None) -> bool:
        assert self._runner is not None
        try:
            await web.TCPSite(self._runner, address, port).start()
        except OSError as error:
            _log.error(
                "the side port %d (metrics, state) cannot be opened: %s; trying again every %g s: "
                "is another replica ending in this pod, or does the pod run something else on it?",
                port,
                error.strerror or error,
                self._retry,
            )
            return False
        return True

    async def _open_later(self, port: int, address: str | None) -> None:
        while True:
            await asyncio.sleep(self._retry)
            if await self._opened(port, address):
                _log.info("the side port %d is open", port)
                return

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _ready(self, _: web.Request) -> web.Response:
        """For the pod's readiness: 503 while this replica has no engine that answers, or no proxy leads to it."""
        return web.Response(status=200 if self._is_ready() and await self._proxy_answers() else 503)

    async def _proxy_answers(self) -> bool:
        if self._proxy is None:
            return True
        try:
            async with ClientSession(timeout=_PROXY_TIMEOUT) as session, session.get(self._proxy) as answer:
                return answer.status == 200
        except (ClientError, TimeoutError, OSError):
            return False

    async def _state(self, _: web.Request) -> web.Response:
        told = {name: provider() for name, provider in self._providers.items()}
        waited = {name: await value for name, value in told.items() if inspect.isawaitable(value)}
        return web.json_response(told | waited)
