"""Asks the operator for a replica of a service that sleeps: `status.wakeRequestedAt`."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import urllib3
from kubernetes import client

from llmservice_api.names import API_VERSION, GROUP, LLMSERVICES, VERSION
from llmservice_gateway.holding import wake_is_due
from llmservice_gateway.kube import one_line
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import Service

MANAGER: Final = "llmservice-gateway"
_LOG: Final = logging.getLogger(__name__)
_TIMEOUT: Final = (5.0, 10.0)
_NOT_FOUND: Final = 404


class WakeFailed(Exception):
    """The request did not get into the object; the message says why."""


class Writer(Protocol):
    """Where wakes go."""

    async def write(self, service: Service, moment: str) -> None:
        """Sets wakeRequestedAt to an RFC 3339 instant; raises WakeFailed."""


class KubernetesWriter:
    """Writes to the cluster; `api` is the client's for objects of any kind."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def write(self, service: Service, moment: str) -> None:
        """Server-side apply of the one field; a service that is gone is none to wake. Raises WakeFailed."""
        body: Any = {
            "apiVersion": API_VERSION,
            "kind": "LLMService",
            "metadata": {"name": service.name, "namespace": service.namespace},
            "status": {"wakeRequestedAt": moment},
        }
        try:
            await asyncio.to_thread(
                self._api.patch_namespaced_custom_object_status,
                *(GROUP, VERSION, service.namespace, LLMSERVICES, service.name, body),
                field_manager=MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=_TIMEOUT,
            )
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            if getattr(error, "status", None) != _NOT_FOUND:
                raise WakeFailed(one_line(error)) from error


class Waker:
    """Wakes services, each once in a while however many requests wait for it. `clock` as time.time."""

    def __init__(self, writer: Writer, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._asked: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, service: Service) -> None:
        """Has the service woken where that is due; nobody waits for it."""
        now = int(self._clock() * 1000)
        if wake_is_due(service, self._asked.get(service.route, 0), now):
            self._asked[service.route] = now
            task = asyncio.create_task(self._write(service, now))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, service: Service, now: int) -> None:
        moment = datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await self._writer.write(service, moment)
        except WakeFailed as error:
            self._metrics.failures.labels("wake").inc()
            _LOG.warning("%s was not woken, and is tried again: %s", service.route, error)
