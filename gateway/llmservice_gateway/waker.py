"""Asks the operator for replicas of a service that sleeps: `status.wakeRequestedAt`, and for how many in `wakes`.

Each gateway has an entry of its own there, under its name: so they add up, and none reads what it writes.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import urllib3
from kubernetes import client

from llmservice_api.names import GROUP, LLMSERVICES, VERSION
from llmservice_gateway.holding import WAKE_MS, requests_to_tell, wake_is_due
from llmservice_gateway.kube import one_line
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import NO_WAKE, Service, Wake

MANAGER: Final = "llmservice-gateway"
_LOG: Final = logging.getLogger(__name__)
_TIMEOUT: Final = (5.0, 10.0)
_NOT_FOUND: Final = 404
_FORGOTTEN_MS: Final = 86_400_000
"""After which nobody believes an entry any more, and the gateway that wrote it is taken to be gone."""


class WakeFailed(Exception):
    """The request did not get into the object; the message says why."""


class Writer(Protocol):
    """Where wakes go."""

    async def write(self, service: Service, status: Mapping[str, Any]) -> None:
        """Merges into the service's status; raises WakeFailed."""


class KubernetesWriter:
    """Writes to the cluster; `api` is the client's for objects of any kind."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def write(self, service: Service, status: Mapping[str, Any]) -> None:
        """A merge leaves other gateways' entries as they are; a service that is gone is none to wake.

        Raises WakeFailed.
        """
        body: Any = {"status": status}
        try:
            await asyncio.to_thread(
                self._api.patch_namespaced_custom_object_status,
                *(GROUP, VERSION, service.namespace, LLMSERVICES, service.name, body),
                field_manager=MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=_TIMEOUT,
            )
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            if getattr(error, "status", None) != _NOT_FOUND:
                raise WakeFailed(one_line(error)) from error


class Waker:
    """Wakes services, each once in a while however many requests wait. `name`: this gateway's; `clock` as time.time."""

    def __init__(self, writer: Writer, name: str, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._name = name
        self._metrics = metrics
        self._clock = clock
        self._asked: dict[str, Wake] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, service: Service, held: int) -> None:
        """Has the service woken for `held` requests where that is due; nobody waits for it."""
        now = int(self._clock() * 1000)
        told = service.wakes.get(self._name, NO_WAKE)
        if wake_is_due(service, told, self._asked.get(service.route, NO_WAKE), held, now):
            wake = Wake(now, requests_to_tell(service, told, held, now))
            recent = {route: each for route, each in self._asked.items() if abs(now - each.at) < WAKE_MS}
            self._asked = recent | {service.route: wake}
            task = asyncio.create_task(self._write(service, wake))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, service: Service, wake: Wake) -> None:
        try:
            await self._writer.write(service, self._status(service, wake))
        except WakeFailed as error:
            self._metrics.failures.labels("wake").inc()
            _LOG.warning("%s was not woken, and is tried again: %s", service.route, error)

    def _status(self, service: Service, wake: Wake) -> dict[str, Any]:
        moment = datetime.fromtimestamp(wake.at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        forgotten = service.idle * 1000 + _FORGOTTEN_MS
        gone = {name: None for name, each in service.wakes.items() if wake.at - each.at > forgotten}
        own = {self._name: {"requestedAt": moment, "requests": wake.requests}}
        return {"wakeRequestedAt": moment, "wakes": gone | own}
