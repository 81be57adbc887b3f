"""What the operator tells Prometheus."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sized
from datetime import datetime
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from llmservice_api.json_lines import FIELDS
from llmservice_api.reasons import ConditionType
from llmservice_operator.cold_start_metrics import ColdStarts
from llmservice_operator.observed import instant

Json = dict[str, Any]
K = TypeVar("K")
R = TypeVar("R")

_WAITS: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)


class Metrics:
    """Reconciles, the queues' depths, requests to the API server, how long services take to be Ready, who leads."""

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
        self._writes = Counter(
            "llmservice_writes_total", "Writes that the API server took.", ["resource", "verb"], registry=registry
        )
        self._refusals = Counter(
            "llmservice_api_errors_total",
            "Requests that the API server refused, or that did not reach it.",
            ["resource", "verb", "reason"],
            registry=registry,
        )
        self._ready = Histogram(
            "llmservice_ready_seconds",
            "From when an LLMService was applied, or ceased to be Ready, until it is Ready.",
            buckets=_WAITS,
            registry=registry,
        )
        self._rollout = Histogram(
            "llmservice_rollout_seconds",
            "From when a revision was begun until it has given a token.",
            buckets=_WAITS,
            registry=registry,
        )
        self._cold_starts = ColdStarts(registry)
        self._leader = Gauge("llmservice_leader", "1 where this operator writes, 0 on a standby.", registry=registry)
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

    def watch(self, queues: Mapping[str, Sized], leads: Callable[[], bool]) -> None:
        """Read at each scrape whether this process leads, and its queues' depths; a standby's keys wait for nobody."""
        self._leader.set_function(leads)
        for kind, queue in queues.items():
            self._depth.labels(kind).set_function(lambda queue=queue: len(queue) if leads() else 0)  # type: ignore[misc]

    def answered(self, resource: str, verb: str, reason: str) -> None:
        """Count a request to the API server by its outcome; `reason` empty: it was granted."""
        if reason:
            self._refusals.labels(resource, verb, reason).inc()
        elif verb != "get":
            self._writes.labels(resource, verb).inc()

    def status_written(self, service: Json, status: Json, now: datetime) -> None:
        """Note what a status that takes the place of `service`'s says to be over."""
        if (took := seconds_to_ready(service, status, now)) is not None:
            self._ready.observe(took)
        if (took := seconds_of_rollout(service, status, now)) is not None:
            self._rollout.observe(took)
        self._cold_starts.written(service.get("status") or {}, status)


def seconds_to_ready(service: Json, status: Json, now: datetime) -> float | None:
    """How long it was not Ready, where `status` is the first to say that it is; None otherwise."""
    before, after = (_ready(each) for each in (service.get("status") or {}, status))
    if not after or after["status"] != "True" or before.get("status") == "True":
        return None
    since = before.get("lastTransitionTime") or service["metadata"]["creationTimestamp"]
    return (now - instant(since)).total_seconds()


def seconds_of_rollout(service: Json, status: Json, now: datetime) -> float | None:
    """How long its revision came up, where `status` is the first to call that active; None otherwise."""
    before, after = ((each.get("revision") or {}) for each in (service.get("status") or {}, status))
    if "pending" not in before or before["pending"] != after.get("active"):
        return None
    return (now - instant(before["pendingSince"])).total_seconds()


def _ready(status: Json) -> Json:
    return next((each for each in status.get("conditions", []) if each["type"] == ConditionType.READY), {})


def _named(key: object) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
