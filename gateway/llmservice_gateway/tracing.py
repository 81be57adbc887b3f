"""Spans of requests, made of HAProxy's access log, with the ids and times that HAProxy gave them.

HAProxy ── line of JSON, a datagram ──> Spans.take ── ReadableSpan ──> bounded queue ── thread ──> OTLP/HTTP
"""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Counter

from llmservice_gateway.endpoints import MODELS, POSTS
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.settings import Settings

_LOG: Final = logging.getLogger(__name__)
_APIS: Final = frozenset((*POSTS, MODELS))
_CAPACITY: Final = 2048
_DELAY_MS: Final = 1000
_TIMEOUT_S: Final = 5.0
_NOTHING: Final = "-"
"""What HAProxy logs for a variable that is not set."""


class NoSpan(ValueError):
    """A line that no span can be made of."""


def span_of(line: bytes, resource: Resource) -> ReadableSpan | None:
    """The span of a line of the access log; None where its trace is not sampled. Raises NoSpan."""
    try:
        entry = json.loads(line)
        flags = TraceFlags(int(entry["flags"], 16))
        if not flags.sampled:
            return None
        return _span(entry, flags, resource)
    except (ValueError, KeyError, TypeError) as error:
        raise NoSpan(f"{type(error).__name__}: {error}") from error


class Spans:
    """Takes lines; queues at most `capacity` spans and counts what became of each, by `result`."""

    def __init__(self, exporter: SpanExporter, counter: Counter, resource: Resource, capacity: int = _CAPACITY) -> None:
        self._counter = counter
        self._resource = resource
        self._capacity = capacity
        self._exporter = _Counting(exporter, counter)
        self._taken = 0
        # Its own bound is never met: ours is the smaller one, and counts what it drops.
        self._processor = BatchSpanProcessor(
            self._exporter, capacity + 1, _DELAY_MS, max_export_batch_size=min(512, capacity)
        )

    def take(self, line: bytes) -> None:
        """Queue the span of one line; drops it where the receiver does not keep up."""
        try:
            span = span_of(line, self._resource)
        except NoSpan as error:
            self._counter.labels("malformed").inc()
            _LOG.warning("no span can be made of a line of the access log: %s", error)
            return
        if span is None:
            return
        if self._taken - self._exporter.done >= self._capacity:
            self._counter.labels("dropped").inc()
            return
        self._taken += 1
        self._processor.on_end(span)

    def close(self) -> None:
        """Send what is queued, then stop. Blocks."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


class _Counting(SpanExporter):
    """An exporter that counts what it sent and what it failed to send; called in the processor's thread only."""

    def __init__(self, inner: SpanExporter, counter: Counter) -> None:
        self._inner = inner
        self._counter = counter
        self.done = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            self.done += len(spans)
            sent = result is SpanExportResult.SUCCESS
            self._counter.labels("sent" if sent else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _Lines(asyncio.DatagramProtocol):
    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def datagram_received(self, data: bytes, _: Any) -> None:
        self._spans.take(data)


@asynccontextmanager
async def tracing(settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Listens for HAProxy's lines as long as it is open; does nothing where no endpoint is set."""
    if not settings.tracing_endpoint:
        yield
        return
    url = f"{settings.tracing_endpoint.rstrip('/')}/v1/traces"
    resource = Resource.create({"service.name": "llmservice-gateway", "service.instance.id": socket.gethostname()})
    spans = Spans(OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT_S), metrics.spans, resource)
    transport = await _listening(settings.trace_socket, spans)
    try:
        yield
    finally:
        transport.close()
        await asyncio.to_thread(spans.close)


async def _listening(path: Path, spans: Spans) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Lines(spans), str(path), family=socket.AF_UNIX)
    return transport


def _span(entry: Mapping[str, Any], flags: TraceFlags, resource: Resource) -> ReadableSpan:
    trace = int(entry["trace_id"], 16)
    context = SpanContext(trace, int(entry["span_id"], 16), is_remote=False, trace_flags=flags)
    above = entry["parent_id"]
    parent = None if above == _NOTHING else SpanContext(trace, int(above, 16), is_remote=True)
    if not context.is_valid:
        raise ValueError("trace or span id of zeros")
    return ReadableSpan(
        name=_name(entry["method"], entry["path"]),
        context=context,
        parent=parent,
        resource=resource,
        attributes=_attributes(entry),
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR if entry["status"] >= 500 else StatusCode.UNSET),
        start_time=int(entry["begun_us"]) * 1000,
        end_time=int(entry["ended_us"]) * 1000,
    )


def _name(method: str, path: str) -> str:
    """Method and API, as one of few: what stands before /v1/ names a model."""
    api = path.partition("/v1/")[2]
    return f"{method} /v1/{api}" if api in _APIS else method


def _attributes(entry: Mapping[str, Any]) -> dict[str, str | int]:
    """OpenTelemetry's names where it has one. Times are milliseconds; what there was not (-1 of a time) is left out."""
    found: dict[str, str | int] = {
        "http.request.method": entry["method"],
        "url.path": entry["path"],
        "http.response.status_code": entry["status"],
        "http.response.size": entry["bytes_out"],
        "llmservice.request_id": entry["request_id"],
        "llmservice.route": entry["route"],
        "llmservice.key_id": entry["key"],
        "llmservice.end": entry["end"],
    }
    times = {f"llmservice.{name}_ms": entry["ms"][name] for name in ("request", "connect", "first_byte")}
    return {name: value for name, value in {**found, **times}.items() if value not in (_NOTHING, -1)}
