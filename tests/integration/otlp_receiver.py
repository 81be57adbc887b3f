"""A real OTLP/HTTP receiver of traces, as small as one can be: it decodes what comes and keeps it."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Received:
    """What came: spans, each with the `service.name` of who sent it. `url` is the base URL."""

    url: str = ""
    spans: list[tuple[str, Span]] = field(default_factory=list)

    def of(self, trace_id: str) -> list[tuple[str, Span]]:
        """The spans of a trace, whose id is in hex."""
        return [(service, span) for service, span in self.spans if span.trace_id.hex() == trace_id]

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces"""
        assert request.headers["Content-Type"] == "application/x-protobuf"
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            found = [span for scope in resource.scope_spans for span in scope.spans]
            self.spans.extend((names.get("service.name", ""), span) for span in found)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


@asynccontextmanager
async def receiving(address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Received]:
    """A receiver as long as it is open; `port` 0: any."""
    received = Received()
    app = web.Application()
    app.router.add_post("/v1/traces", received.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    received.url = f"http://{address}:{runner.addresses[0][1]}"
    try:
        yield received
    finally:
        await runner.cleanup()


def attributes(span: Span) -> dict[str, str | int]:
    """A span's attributes that are text or whole numbers."""
    return {
        each.key: each.value.string_value if each.value.HasField("string_value") else each.value.int_value
        for each in span.attributes
    }
