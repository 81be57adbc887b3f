"""Takes what HAProxy cannot do: bodies that it cannot read, and requests for models that are cold.

HAProxy ── key, form and limits are fine ──> body ── model ──> route ──> doorkeeper ── held until it is up ──> model
        <────────── filters headers and shapes errors, as of any model ────────── answer, as it comes ──────────┘
It believes HAProxy's headers on who asks (`x-llmservice-key-id`) and for what (`x-llmservice-route`); where the latter
is absent, the body names the model.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

from aiohttp import web
from multidict import CIMultiDict

from llmservice_api.names import KEY_ID_HEADER, ROUTE_HEADER
from llmservice_gateway import body_fields, errors, form_fields
from llmservice_gateway.bodies import Keep, discard, read, rooms
from llmservice_gateway.body_fields import Fields
from llmservice_gateway.desired import Maps
from llmservice_gateway.doorkeeper import Answered, Doorkeeper, Passage, Services
from llmservice_gateway.endpoints import AUDIO, MESSAGES, SILENT
from llmservice_gateway.errors import Refused
from llmservice_gateway.forwarding import Asked, upstreams
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.pace import Pace
from llmservice_gateway.reply import Reply, encodable
from llmservice_gateway.resolution import Claim, check, route_of
from llmservice_gateway.settings import Settings
from llmservice_gateway.waker import Waker

_NOT_PASSED_ON: Final = ("connection", "keep-alive", "content-length", "transfer-encoding", "host", ROUTE_HEADER)
_LEFT: Final = 499


class Known(Services, Protocol):
    """What is known of the cluster, as HAProxy's maps hold it too."""

    @property
    def maps(self) -> Maps:
        """What HAProxy's maps hold."""


class Activator:
    """Answers HAProxy's requests. `parser` has one thread; `clock` as time.time; `blocks` as of Limiter.blocks."""

    def __init__(
        self,
        known: Known,
        blocks: Callable[[], Mapping[str, str]],
        doorkeeper: Doorkeeper,
        parser: ThreadPoolExecutor,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._known = known
        self._blocks = blocks
        self._doorkeeper = doorkeeper
        self._parser = parser
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._rooms = rooms(settings.body_memory, settings.large_body, settings.small_body)
        self._pace = Pace(settings.body_rate, settings.large_body, time.monotonic)

    async def run(self) -> None:
        """Follows what changes; runs until cancelled."""
        await self._doorkeeper.run()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The model's answer, or an error."""
        reply = Reply(request, is_anthropic=_api(request) in MESSAGES)
        try:
            try:
                address, answer = await self._answered(request, reply)
            except Refused as refused:
                await discard(request.content, self._settings.largest_read, self.keep(request))
                return await reply.refuse(refused.error, **self._settings.body_limits)
            return await reply.relay(answer, f"{address.ip}|{address.port}")
        except ConnectionError:
            return web.Response(status=_LEFT)

    def keep(self, request: web.Request) -> Keep:
        """How fast a body of the key that asks is read."""
        return partial(self._pace.keep, request.headers.get(KEY_ID_HEADER, ""))

    async def _answered(self, request: web.Request, reply: Reply) -> Answered:
        """The body takes its room until the answer has begun."""
        key_id = request.headers.get(KEY_ID_HEADER, "")
        place = self._rooms.place(key_id)
        try:
            settings = self._settings
            keep = self.keep(request)
            body = await read(request.content, place, settings.large_body, settings.upload_timeout, keep)
            claim = await self._look_into(request, reply, body)
            asked = Asked(request.raw_path, _headers(request, reply.route), body)
            return await self._passed(Passage(reply.route, asked, lambda: self._check(claim)), reply)
        finally:
            place.leave()

    async def _look_into(self, request: web.Request, reply: Reply, body: bytes) -> Claim:
        """Finds the route, where HAProxy does not know it, and whether the client streams; raises Refused."""
        key_id = request.headers.get(KEY_ID_HEADER, "")
        route, is_form = request.headers.get(ROUTE_HEADER), _is_form(request)
        try:
            fields = await self._fields(request, is_form, body)
        except Refused:
            if route is None:
                raise
            fields = Fields()  # what is wrong with it the model says
        if route is None:
            if fields.model is None:
                raise Refused(errors.MODEL_MISSING_IN_FORM if is_form else errors.MODEL_MISSING)
            reply.model = fields.model
            route = route_of(self._known.maps, key_id, fields.model)
            self._metrics.slow_path.labels("form" if is_form else "json").inc()
        else:
            service = self._known.service(route)
            self._metrics.slow_path.labels("cold" if service is None or service.cold else "chunked").inc()
        if route is None:
            raise Refused(errors.MODEL_NOT_FOUND)
        reply.model, reply.route = reply.model or route, route
        reply.streams = fields.stream and _api(request) not in SILENT
        return Claim(key_id, route, _engine(request) or fields.model)

    async def _fields(self, request: web.Request, is_form: bool, body: bytes) -> Fields:
        """Looks through the body in a thread, one body at a time: the maps are kept meanwhile."""
        loop = asyncio.get_running_loop()
        if is_form:
            content_type = request.headers.get("content-type", "")
            return await loop.run_in_executor(self._parser, form_fields.fields, content_type, body)
        return await loop.run_in_executor(self._parser, body_fields.fields, body)

    async def _passed(self, passage: Passage, reply: Reply) -> Answered:
        answering = asyncio.create_task(self._doorkeeper.answer(passage))
        try:
            while not (await asyncio.wait({answering}, timeout=self._settings.waiting_interval))[0]:
                if passage.held:
                    await reply.waiting()
            return answering.result()
        finally:
            answering.cancel()

    def _check(self, claim: Claim) -> None:
        check(claim, self._known.maps, self._blocks(), int(self._clock() * 1000))


def _api(request: web.Request) -> str:
    return request.path.removeprefix("/v1/").removeprefix("/v2/")


def _engine(request: web.Request) -> str:
    """The model that the URL of OpenAI's oldest completions names; elsewhere empty."""
    before, _, named = _api(request).partition("engines/")
    return "" if before else named.removesuffix("/completions")


def _is_form(request: web.Request) -> bool:
    return _api(request).startswith(AUDIO) and request.content_type == "multipart/form-data"


def _headers(request: web.Request, route: str) -> CIMultiDict[str]:
    """What HAProxy let through, and where it goes."""
    passed = ((name, encodable(value)) for name, value in request.headers.items())
    headers = CIMultiDict((name, value) for name, value in passed if name.lower() not in _NOT_PASSED_ON)
    headers["host"] = "llmservice"
    headers[ROUTE_HEADER] = route
    return headers


@asynccontextmanager
async def activator(
    known: Known,
    blocks: Callable[[], Mapping[str, str]],
    waker: Waker,
    settings: Settings,
    metrics: Metrics,
    clock: Callable[[], float],
) -> AsyncIterator[Activator]:
    """An activator with its connections and its thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="bodies") as parser:
        async with upstreams(settings.connect_timeout, settings.server_timeout) as connections:
            doorkeeper = Doorkeeper(known, connections, waker.wake, metrics, settings.longest_hold)
            yield Activator(known, blocks, doorkeeper, parser, settings, metrics, clock)
