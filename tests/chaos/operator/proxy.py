"""An HTTP proxy between the operator and a real API server: it sees every call, and does to it what a rule says.

    operator ──HTTP──► proxy ──rule──► passes it on, or a fault (faults.py) answers in its place ──TLS──► API server

What comes on a watch goes through `events`, which may hold back, drop, double or reorder its lines.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import web

from hack.cluster.api import Api
from tests.integration.operator_run import connections_closed

T = TypeVar("T")

_READ: Final = ("GET", "HEAD")
_ANSWER_HEADERS: Final = ("Content-Type", "Retry-After", "Warning")
_REQUEST_HEADERS: Final = ("Accept", "Content-Type")
_LINE_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """One request of the operator: `verb` as the audit log says it, `name` empty where it is of a whole kind.

    `by_kopf`: of a watcher, which lists before it watches; else of ours.
    """

    method: str
    verb: str
    plural: str
    namespace: str
    name: str
    part: str
    is_trial: bool
    by_kopf: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it changes something; an empty merge patch, by which metadata is read, is counted as one too.

        A Lease that is renewed is none: it is so all the time.
        """
        return self.method not in _READ and not self.is_trial and self.plural != "leases"

    def __str__(self) -> str:
        return f"{self.verb} {'/'.join(filter(None, (self.plural, self.namespace, self.name, self.part)))}"


def call_of(method: str, path: str, query: dict[str, str]) -> Call:
    """What a request is about. Discovery, which is about no kind, has the whole path as `plural`."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    plural, name, part = (*rest, "", "", "")[:3]
    reading = "watch" if query.get("watch") in ("true", "1") else "get" if name or not plural else "list"
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    return Call(method, verbs.get(method, reading), plural or path, namespace, name, part, bool(query.get("dryRun")))


@dataclass(frozen=True)
class Reply:
    """A whole answer of the API server."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, eq=False)
class Exchange:
    """A call on its way: `forward` asks the API server, `answer` tells the operator, `pass_on` does both."""

    call: Call
    request: web.Request
    body: bytes
    proxy: "Proxy"

    async def forward(self) -> Reply:
        """Let the API server carry it out, to its end even if the operator dies; it hears nothing yet."""
        return await asyncio.shield(asyncio.ensure_future(self._forwarded()))

    async def _forwarded(self) -> Reply:
        async with self.proxy.asked(self.request, self.body) as response:
            return Reply(response.status, _kept(response.headers, _ANSWER_HEADERS), await response.read())

    async def answer(self, reply: Reply) -> web.StreamResponse:
        """Tell the operator, to the last byte."""
        response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        await response.prepare(self.request)
        await response.write_eof()
        return response

    async def pass_on(self) -> web.StreamResponse:
        """As if there were no proxy, but for `events` on watches."""
        if self.call.verb == "watch":
            return await self.proxy.stream(self)
        return await self.answer(await self.forward())

    def cut(self) -> web.StreamResponse:
        """End the connection without a word more."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()


Fault = Callable[[Exchange], Awaitable[web.StreamResponse]]
Rule = Callable[[Call], Fault | None]
Events = Callable[[Call, AsyncIterator[bytes]], AsyncIterator[bytes]]


def no_fault(_: Call) -> Fault | None:
    """The rule of a proxy that only watches."""
    return None


def as_they_come(_: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Watches that are not tampered with."""
    return lines


class Proxy:
    """`calls`: all that the operator asked. `struck`: those that a fault met. Set `rule` and `events` at any time."""

    def __init__(self, upstream: Api) -> None:
        self._server = upstream.server
        self._tls: ssl.SSLContext = upstream._context
        self._session: aiohttp.ClientSession
        self.rule: Rule = no_fault
        self.events: Events = as_they_come
        self.calls: list[Call] = []
        self.struck: list[Call] = []
        self.port = 0
        self._watches: set[Exchange] = set()
        self._loop: asyncio.AbstractEventLoop

    @property
    def writes(self) -> list[Call]:
        """The calls that change something."""
        return [call for call in self.calls if call.is_write]

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig that leads here; it holds no credentials, since the proxy has its own."""
        target = folder / "proxy.kubeconfig"
        cluster = {"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}
        user = {"name": "operator", "user": {"token": "of-the-proxy"}}
        parts = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "proxy"}
        target.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **parts}))
        return target

    async def serve(self, stopped: asyncio.Event) -> None:
        """Serve on a free port of the loopback until `stopped`."""
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_LINE_MAX) as self._session:
            app = web.Application(client_max_size=_LINE_MAX)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self.port)
            await site.start()
            self.port = runner.addresses[0][1]
            await stopped.wait()
            await runner.cleanup()

    def asked(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        """The same request to the API server, as the user whose certificate the proxy holds."""
        headers = _kept(request.headers, _REQUEST_HEADERS)
        return self._session.request(request.method, self._server + request.path_qs, data=body or None, headers=headers)

    async def stream(self, exchange: Exchange) -> web.StreamResponse:
        """A watch, line by line through `events`."""
        async with self.asked(exchange.request, exchange.body) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_kept(upstream.headers, _ANSWER_HEADERS))
            await response.prepare(exchange.request)
            self._watches.add(exchange)
            try:
                async for line in self.events(exchange.call, _lines(upstream)):
                    await response.write(line)
            finally:
                self._watches.discard(exchange)
            return response

    def cut_watches(self) -> None:
        """End all watches, so that the next ones meet `rule` and `events` as they are now."""
        for exchange in list(self._watches):
            self._loop.call_soon_threadsafe(exchange.cut)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        by_kopf = request.headers.get("User-Agent", "").startswith("kopf/")
        call = replace(call_of(request.method, request.path, dict(request.query)), by_kopf=by_kopf)
        self.calls.append(call)
        exchange = Exchange(call, request, body, self)
        fault = self.rule(call)
        try:
            if fault is None:
                return await exchange.pass_on()
            self.struck.append(call)
            return await fault(exchange)
        except (aiohttp.ClientConnectionError, ConnectionError):  # either side is gone, as it is without a proxy
            return exchange.cut()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for line in response.content:
        yield line


def _kept(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


class Background:
    """A loop in a thread of its own, for what plays along while a test drives by plain calls."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there; its outcome here."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)


@contextmanager
def background() -> Iterator[Background]:
    """Runs it until the block ends, and whatever tasks it has then."""
    found = Background()
    thread = threading.Thread(target=found.loop.run_forever, name="rig", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.call(_others_ended())
        found.loop.call_soon_threadsafe(found.loop.stop)
        thread.join()
        found.loop.close()


async def _others_ended() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await connections_closed()
