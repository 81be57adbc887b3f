"""A whole gateway on loopback: real HAProxy, the agent with objects in memory, and an upstream to look into."""

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from llmservice_gateway.agent import Agent
from llmservice_gateway.gateway import Gateway
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import Service
from llmservice_gateway.runtime import RuntimeSocket
from llmservice_gateway.settings import Settings
from llmservice_gateway.source import KINDS, Event, Gone, Kind, Listed, ObjectSource, Put
from tests.eventually import eventually
from tests.integration.haproxy_program import haproxy
from tests.unit.gateway.builders import PEPPER

ANSWERED = 30.0
"""Seconds in which every answer begins, however busy the machine is."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MemorySource:
    """Objects that the test gives."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue()

    async def events(self) -> AsyncIterator[Event]:
        """What the test put in, in order."""
        while True:
            yield await self.queue.get()


@dataclass
class Upstream:
    """A model's stand-in: keeps what arrives, answers what the test says."""

    port: int = 0
    seen: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    handler: Handler | None = None

    @property
    def address(self) -> str:
        """As an LLMService's status says it; it answers on 127.0.0.2, too."""
        return f"127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Keeps the request; then the test's handler, or a small completion."""
        if self.handler is not None:
            return await self.handler(request)
        self.seen.append((request.path_qs, request.headers.copy(), await request.read()))
        return web.json_response(completion())


@dataclass
class Wakes:
    """What the gateway would write to the cluster: services that are to be woken and how, in order."""

    seen: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def write(self, service: Service, status: Mapping[str, Any]) -> None:
        """Keeps the route and the part of status."""
        self.seen.append((service.route, status))


@dataclass
class Stack:
    """What a test talks to."""

    settings: Settings
    source: MemorySource
    agent: Agent
    gateway: Gateway
    upstream: Upstream
    http: aiohttp.ClientSession
    run: "asyncio.Task[int]"
    wakes: "Wakes"
    metrics: Metrics

    @property
    def url(self) -> str:
        """The public URL, without a path."""
        return f"http://127.0.0.1:{self.settings.public_port}"

    async def put(self, kind: Kind, *raws: Any) -> None:
        """Objects are created or changed; returns once HAProxy knows."""
        for raw in raws:
            await self.happen(Put(kind, raw))

    async def delete(self, kind: Kind, raw: Any) -> None:
        """An object is deleted; returns once HAProxy knows."""
        await self.happen(Gone(kind, raw))

    async def happen(self, event: Event) -> None:
        """Delivers the event; returns once HAProxy knows."""
        before = self.agent.catalog
        self.source.queue.put_nowait(event)
        await eventually(lambda: self.agent.catalog is not before)

    def figure(self, name: str, **labels: str) -> float:
        """One of the agent's metrics, 0 where it is absent."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def post(self, path: str, body: Any = None, key: str | None = None, **headers: str) -> "Answer":
        """POST of JSON, with a key."""
        return await self.ask("POST", path, json=body if body is not None else {}, headers=_with_key(key, headers))

    async def get(self, path: str, key: str | None = None) -> "Answer":
        """GET, with a key."""
        return await self.ask("GET", path, headers=_with_key(key, {}))

    async def ask(self, method: str, path: str, **arguments: Any) -> "Answer":
        """Any request."""
        async with self.http.request(method, self.url + path, **arguments) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def raw(self, data: bytes, wait: float = 0.5) -> bytes:
        """What HAProxy answers to these bytes, until it closes or nothing more has come for `wait` seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.public_port)
        answer = b""
        try:
            writer.write(data)
            while chunk := await asyncio.wait_for(reader.read(65536), wait if answer else ANSWERED):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return answer


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape; fails where it is not in that shape."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert self.headers["Content-Type"] == "application/json"
        assert self.headers["x-request-id"]
        return dict(error)


@asynccontextmanager
async def running(listed: bool = True, cluster: ObjectSource | None = None, **fields: Any) -> AsyncIterator[Stack]:
    """A gateway that has seen an empty cluster (or none, where not `listed`); `fields` change its settings.

    `cluster` takes the place of the objects in memory.
    """
    with tempfile.TemporaryDirectory(prefix="gw") as directory:
        ports = free_ports(4)
        names = ("public_port", "metrics_port", "agent_port", "inner_port")
        wanted: dict[str, Any] = {
            "haproxy": haproxy(),
            "drain_delay": 0,
            "threads": 1,
            "max_connections": 500,
            "connect_timeout": 1,
        }
        wanted["agent_niceness"] = 0  # else all tests that follow in this process would give way
        wanted |= dict(zip(names, ports, strict=True)) | fields
        settings = Settings(address="127.0.0.1", run_directory=Path(directory), **wanted)
        metrics, source, upstream = Metrics(), MemorySource(), Upstream()
        store = RuntimeSocket(settings.socket, settings.maps)
        probe = PEPPER.digest(PEPPER.probe_key())
        agent = Agent(cluster or source, store, metrics, probe, time.time, settings.resync_interval)
        gateway = Gateway(settings, PEPPER, agent, metrics, wakes := Wakes())
        async with _serving(upstream), aiohttp.ClientSession() as http:
            task = asyncio.create_task(gateway.run())
            try:
                if listed:
                    for kind in KINDS:
                        source.queue.put_nowait(Listed(kind, []))
                    await eventually(lambda: agent.ready or task.done())
                else:
                    await eventually(lambda: settings.socket.exists() or task.done())
                assert not task.done(), "the gateway ended"
                yield Stack(settings, source, agent, gateway, upstream, http, task, wakes, metrics)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _serving(upstream: Upstream) -> AsyncIterator[None]:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", upstream.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    upstream.port = free_ports(1)[0]
    for address in ("127.0.0.1", "127.0.0.2"):
        await web.TCPSite(runner, address, upstream.port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def completion(text: str = "Paris") -> dict[str, Any]:
    """A chat completion as a worker sends it."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def event(text: str) -> bytes:
    """One server-sent event of a streamed chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(data)}\n\n".encode()


def _with_key(key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    return dict(headers) | ({"Authorization": f"Bearer {key}"} if key else {})
