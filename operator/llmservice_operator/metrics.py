"""What the operator tells Prometheus."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sized
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from llmservice_api.json_lines import FIELDS

K = TypeVar("K")
R = TypeVar("R")


class Metrics:
    """Reconciles, their durations and failures, and the queues' depths, by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._seconds = Histogram(
            "llmservice_reconcile_seconds", "Duration of one reconcile.", ["kind"], registry=registry
        )
        self._failures = Counter(
            "llmservice_reconcile_failures_total",
            "Reconciles that raised, by error.",
            ["kind", "error"],
            registry=registry,
        )
        self._depth = Gauge("llmservice_queue_depth", "Keys that wait for a worker.", ["kind"], registry=registry)

    def timed(self, kind: str, reconcile: Callable[[K], Awaitable[R]]) -> Callable[[K], Awaitable[R]]:
        """The same reconcile, each call counted with its duration."""

        async def counted(key: K) -> R:
            start = time.monotonic()
            try:
                return await reconcile(key)
            finally:
                self._seconds.labels(kind).observe(time.monotonic() - start)

        return counted

    def failed(self, kind: str, log: logging.Logger) -> Callable[[object, Exception], None]:
        """What a queue calls for a reconcile that raised: a line in the log with the traceback, and a count."""

        def report(key: object, error: Exception) -> None:
            self._failures.labels(kind, type(error).__name__).inc()
            fields = {FIELDS: {"kind": kind, "key": _named(key)}}
            log.error(
                "reconcile of %s %s failed and will be tried again: %s", kind, key, error, exc_info=error, extra=fields
            )

        return report

    def watch_queues(self, queues: Mapping[str, Sized]) -> None:
        """Read the queues' depths at each scrape."""
        for kind, queue in queues.items():
            self._depth.labels(kind).set_function(lambda queue=queue: len(queue))  # type: ignore[misc]


def _named(key: object) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
