"""Counts what the gateway itself refuses, by tenant, model and reason, from lines of HAProxy's access log.

HAProxy ── ring of lines of JSON ── unix socket ──> Refusals.take ──> counter
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from prometheus_client import Counter

from llmservice_gateway.desired import ALL
from llmservice_gateway.objects import Service
from llmservice_gateway.settings import Settings

_LOG: Final = logging.getLogger(__name__)
NOBODY: Final = "-"
"""What HAProxy logs for a variable that is not set, and the label of a tenant or model that is not known."""


class Refusals:
    """Takes lines; `service` finds what a route names, so that labels are only of what exists."""

    def __init__(self, counter: Counter, service: Callable[[str], Service | None]) -> None:
        self._counter = counter
        self._service = service

    def take(self, line: bytes) -> None:
        """Counts the request of one line; answers of models, and of clients that left, have no reason."""
        try:
            entry = json.loads(line)
            reason, tenant, route = entry["reason"], entry["tenant"], entry["route"]
        except (ValueError, KeyError) as error:
            _LOG.warning("a line of the access log is not understood: %s", error)
            return
        if reason != NOBODY:
            self._counter.labels(*self._whose(tenant, route), reason).inc()

    def _whose(self, tenant: str, route: str) -> tuple[str, str]:
        """Namespace and name; of a model of another namespace than the tenant's, only the tenant's."""
        service = self._service(route)
        if service is None:
            return tenant, NOBODY
        if tenant in (NOBODY, ALL, service.namespace):
            return service.namespace, service.name
        return tenant, NOBODY


@asynccontextmanager
async def counting(settings: Settings, refusals: Refusals) -> AsyncIterator[None]:
    """Listens for HAProxy's lines as long as it is open."""

    async def each_line(reader: asyncio.StreamReader, writer: Any) -> None:
        async for line in reader:
            refusals.take(line)
        writer.close()

    async with await asyncio.start_unix_server(each_line, settings.refusals_socket):
        yield
