"""Lines of the access log become spans with their own ids and times; what cannot is counted."""

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from llmservice_gateway.metrics import Metrics
from llmservice_gateway.tracing import NoSpan, Spans, span_of

RESOURCE = Resource({"service.name": "test"})
TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "1234567890abcdef"


def line(**changed: Any) -> bytes:
    entry: dict[str, Any] = {
        "time": "2026-01-01T00:00:00Z", "request_id": "r1", "method": "POST",
        "path": "/team-a/smol/v1/chat/completions", "route": "team-a/smol", "key": "0123",
        "status": 200, "bytes_in": 10, "bytes_out": 20,
        "ms": {"request": 0, "connect": 1, "first_byte": 30, "total": 50}, "end": "--",
        "trace_id": TRACE, "span_id": SPAN, "parent_id": "-", "flags": "01",
        "begun_us": "1767225600000000", "ended_us": "1767225600050000",
    }  # fmt: skip
    return json.dumps(entry | changed).encode()


def span(**changed: Any) -> ReadableSpan:
    found = span_of(line(**changed), RESOURCE)
    assert found is not None
    return found


def test_ids_and_times_are_haproxys() -> None:
    found = span()
    assert found.context is not None
    assert (f"{found.context.trace_id:032x}", f"{found.context.span_id:016x}") == (TRACE, SPAN)
    assert found.parent is None
    assert (found.start_time, found.end_time) == (1767225600000000000, 1767225600050000000)
    assert (found.kind, found.name) == (SpanKind.SERVER, "POST /v1/chat/completions")


def test_the_clients_span_is_the_parent() -> None:
    parent = span(parent_id=PARENT).parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == PARENT
    assert parent.is_remote


def test_attributes_leave_out_what_is_not_known() -> None:
    assert span(key="-", ms={"request": 0, "connect": -1, "first_byte": -1, "total": 3}).attributes == {
        "http.request.method": "POST", "url.path": "/team-a/smol/v1/chat/completions",
        "http.response.status_code": 200, "http.response.size": 20, "llmservice.request_id": "r1",
        "llmservice.route": "team-a/smol", "llmservice.end": "--", "llmservice.request_ms": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code"), [(200, StatusCode.UNSET), (404, StatusCode.UNSET), (502, StatusCode.ERROR)]
)
def test_only_our_own_failures_are_errors(status: int, code: StatusCode) -> None:
    assert span(status=status).status.status_code is code


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/models", "POST /v1/models"), ("/v1/chat/completions", "POST /v1/chat/completions"), ("/v1/x/1/2", "POST"),
     ("/etc/passwd", "POST"), ("", "POST")],
)  # fmt: skip
def test_names_are_few(path: str, name: str) -> None:
    assert span(path=path).name == name


@pytest.mark.parametrize("flags", ["00", "02"])
def test_a_trace_that_is_not_sampled_has_no_span(flags: str) -> None:
    assert span_of(line(flags=flags), RESOURCE) is None


@pytest.mark.parametrize(
    "bad",
    [b"", b"[]", b"{}", b"\xff", line()[:200], line(flags=""), line(trace_id="xyz"), line(trace_id="0" * 32),
     line(span_id="0" * 16), line(begun_us=""), line(ms=None), line(status=None)],
)  # fmt: skip
def test_a_line_without_a_span_is_said(bad: bytes) -> None:
    with pytest.raises(NoSpan):
        span_of(bad, RESOURCE)


class Receiver(SpanExporter):
    """Takes spans once it is let; `result` is what it says of them."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.let = threading.Event()
        self.result = result
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        assert self.let.wait(30)
        self.spans.extend(spans)
        return self.result

    def shutdown(self) -> None:
        self.let.set()


def counts(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.spans.collect()
    return {each.labels["result"]: each.value for each in family.samples if each.name.endswith("_total")}


def test_what_a_slow_receiver_does_not_take_is_dropped_and_counted() -> None:
    receiver, metrics = Receiver(), Metrics()
    spans = Spans(receiver, metrics.spans, RESOURCE, capacity=10)
    for _ in range(25):
        spans.take(line())
    assert counts(metrics) == {"dropped": 15}
    receiver.let.set()
    assert spans._processor.force_flush(3000)
    spans.take(line())
    spans.close()
    assert counts(metrics) == {"dropped": 15, "sent": 11}
    assert len(receiver.spans) == 11


def test_spans_that_the_receiver_refuses_are_counted_and_hold_nothing_up() -> None:
    receiver, metrics = Receiver(SpanExportResult.FAILURE), Metrics()
    receiver.let.set()
    spans = Spans(receiver, metrics.spans, RESOURCE, capacity=3)
    for _ in range(4):
        spans.take(line())
        assert spans._processor.force_flush(3000)
    spans.close()
    assert counts(metrics) == {"failed": 4}


def test_a_malformed_line_is_counted() -> None:
    receiver, metrics = Receiver(), Metrics()
    spans = Spans(receiver, metrics.spans, RESOURCE)
    spans.take(b"no json")
    spans.take(line(flags="00"))
    spans.close()
    assert counts(metrics) == {"malformed": 1}
    assert receiver.spans == []
