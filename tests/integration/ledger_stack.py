"""The ledger as its own process, before an API server that knows the tokens and objects that a test gives."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.eventually import eventually
from tests.integration.gateway_stack import free_ports
from tests.unit.gateway.ledger.builders import GATEWAY, Json

_GROUP = "/apis/llmservice.io/v1alpha1"
GATEWAY_TOKEN = "gateway-token"


@dataclass
class Cluster:
    """An API server with lists, watches, token reviews, Budgets' status and Events. `tokens`: token to user name."""

    objects: dict[str, list[Json]] = field(default_factory=lambda: {"llmservices": [], "apikeys": [], "budgets": []})
    tokens: dict[str, str] = field(default_factory=lambda: {GATEWAY_TOKEN: GATEWAY})
    watches: dict[str, list[asyncio.Queue[Json]]] = field(default_factory=dict)
    statuses: list[tuple[str, Json]] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    reviews: int = 0
    port: int = 0

    def worker_token(self, namespace: str) -> str:
        """A token of a worker in the namespace."""
        self.tokens[f"worker-{namespace}"] = f"system:serviceaccount:{namespace}:default"
        return f"worker-{namespace}"

    def put(self, kind: str, raw: Json) -> None:
        """Adds or changes an object."""
        kept = [each for each in self.objects[kind] if each["metadata"]["name"] != raw["metadata"]["name"]]
        self.objects[kind] = [*kept, raw]
        self._tell(kind, "MODIFIED", raw)

    def delete(self, kind: str, raw: Json) -> None:
        """Deletes it."""
        self.objects[kind] = [each for each in self.objects[kind] if each is not raw]
        self._tell(kind, "DELETED", raw)

    def _tell(self, kind: str, what: str, raw: Json) -> None:
        for queue in self.watches.get(kind, []):
            queue.put_nowait({"type": what, "object": raw})

    async def list_or_watch(self, request: web.Request) -> web.StreamResponse:
        """A kind in all namespaces."""
        kind = request.match_info["kind"]
        if "watch" not in request.query:
            return web.json_response({"items": self.objects[kind], "metadata": {"resourceVersion": "1"}})
        queue: asyncio.Queue[Json] = asyncio.Queue()
        self.watches.setdefault(kind, []).append(queue)
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(json.dumps(await queue.get()).encode() + b"\n")

    async def review(self, request: web.Request) -> web.Response:
        """A TokenReview."""
        self.reviews += 1
        asked = (await request.json())["spec"]
        user = self.tokens.get(asked["token"])
        known = {"authenticated": True, "audiences": asked["audiences"], "user": {"username": user}}
        return web.json_response({"status": known if user else {"authenticated": False}}, status=201)

    async def status(self, request: web.Request) -> web.Response:
        """Server-side apply of a Budget's status, told to the watches like any change."""
        assert request.headers["content-type"] == "application/apply-patch+yaml"
        assert request.query["fieldManager"] == "llmservice-ledger"
        said = json.loads(await request.read())
        name = request.match_info["name"]
        self.statuses.append((name, said["status"]))
        for raw in self.objects["budgets"]:
            if raw["metadata"]["name"] == name:
                self.put("budgets", raw | {"status": said["status"]})
        return web.json_response(said)

    async def event(self, request: web.Request) -> web.Response:
        """An Event; 409 where one has its name."""
        said = await request.json()
        if any(each["metadata"]["name"] == said["metadata"]["name"] for each in self.events):
            return web.json_response({"reason": "AlreadyExists"}, status=409)
        self.events.append(said)
        return web.json_response(said, status=201)

    def kubeconfig(self) -> Json:
        """How to reach it."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {"token": "ledger"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }


@asynccontextmanager
async def cluster_running() -> AsyncIterator[Cluster]:
    """An empty cluster."""
    cluster = Cluster(port=free_ports(1)[0])
    app = web.Application()
    app.router.add_get(f"{_GROUP}/{{kind}}", cluster.list_or_watch)
    app.router.add_patch(f"{_GROUP}/namespaces/{{ns}}/budgets/{{name}}/status", cluster.status)
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", cluster.review)
    app.router.add_post("/apis/events.k8s.io/v1/namespaces/{ns}/events", cluster.event)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", cluster.port).start()
    try:
        yield cluster
    finally:
        await runner.cleanup()


class LedgerProcess:
    """`python -m llmservice_gateway.ledger`; it can be killed and started again on the same database and port."""

    def __init__(self, kubeconfig: Path, folder: Path, settings: Mapping[str, str]) -> None:
        self.port, health_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.health_url = f"http://127.0.0.1:{health_port}"
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        own = {
            "LLMSERVICE_LEDGER_ADDRESS": "127.0.0.1",
            "LLMSERVICE_LEDGER_PORT": str(self.port),
            "LLMSERVICE_LEDGER_HEALTH_PORT": str(health_port),
            "LLMSERVICE_LEDGER_RETENTION_DAYS": "36500",
            "LLMSERVICE_LEDGER_DATABASE": str(folder / "ledger.sqlite"),
            "KUBECONFIG": str(kubeconfig),
        }
        inherited = {name: text for name, text in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
        self._environment = {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **own, **settings}

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts it and waits until it is ready."""
        with (self._folder / "ledger.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "llmservice_gateway.ledger"), env=self._environment, stderr=log
            )
        await eventually(self.ready, 60, 0.05)

    async def ready(self) -> bool:
        """Whether it says so; fails at once where the process has ended."""
        assert self._process is not None
        assert self._process.returncode is None, self.log()
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self.health_url}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

    async def kill(self) -> None:
        """SIGKILL."""
        await self.end(signal.SIGKILL)

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Ends it; the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    def log(self) -> str:
        """What it said."""
        return (self._folder / "ledger.log").read_text()


@dataclass
class Stack:
    """A running ledger, its cluster, and a session to ask it. `opened`: what tests open and leave to it to close."""

    cluster: Cluster
    ledger: LedgerProcess
    session: aiohttp.ClientSession
    opened: ExitStack

    async def post(self, path: str, body: Any, token: str) -> tuple[int, Json]:
        """Status and JSON of a post; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}"}
        async with self.session.post(self.ledger.url + path, data=io.BytesIO(data), headers=headers) as answer:
            return answer.status, await answer.json()

    async def bill(self, events: Iterable[Json], namespace: str = "team-a") -> Json:
        """Posts events as the namespace's worker, again while their key is too new; they must be taken."""
        post, token = {"events": list(events)}, self.cluster.worker_token(namespace)
        said: Json = {}

        async def heard() -> bool:
            nonlocal said
            status, said = await self.post("/v1/events", post, token)
            return status == 200 or said["error"]["code"] != "not_known_yet"

        await eventually(heard, 20, 0.05)
        assert "stored" in said, said
        return said

    async def sync(self, **body: Any) -> Json:
        """What a gateway is told."""
        status, said = await self.post("/v1/sync", {"gateway": "a", "version": 0, "wait": 0} | body, GATEWAY_TOKEN)
        assert status == 200, said
        return said

    async def health(self, path: str) -> tuple[int, str]:
        """Status and body of what the cluster asks, without a token."""
        async with self.session.get(self.ledger.health_url + path) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str, scope: str = "*") -> tuple[int, bytes]:
        """Status and body of an admin's question."""
        headers = {"authorization": f"Bearer {GATEWAY_TOKEN}", "x-llmservice-admin": scope}
        async with self.session.get(self.ledger.url + path, headers=headers) as answer:
            return answer.status, await answer.read()


@asynccontextmanager
async def ledger_running(
    folder: Path, objects: Mapping[str, list[Json]] | None = None, **settings: str
) -> AsyncIterator[Stack]:
    """A ledger that is ready; `objects` by kind, `settings` of the environment beside the usual ones."""
    async with cluster_running() as cluster, aiohttp.ClientSession() as session:
        cluster.objects |= objects or {}
        (folder / "kubeconfig").write_text(json.dumps(cluster.kubeconfig()))
        stack = Stack(cluster, LedgerProcess(folder / "kubeconfig", folder, settings), session, ExitStack())
        try:
            await stack.ledger.start()
            yield stack
        finally:
            stack.opened.close()
            await stack.ledger.kill()
