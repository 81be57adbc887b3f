"""A request's trace: begun or kept by HAProxy, passed on to the model, told to a real OTLP receiver."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, running
from tests.integration.otlp_receiver import Received, attributes, receiving
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY = secret_key(1)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@asynccontextmanager
async def traced(**settings: Any) -> AsyncIterator[tuple[Stack, Received]]:
    async with receiving() as received, running(tracing_endpoint=received.url, **settings) as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        yield stack, received


async def passed_on(stack: Stack, **headers: str) -> tuple[str, str, str]:
    """Trace id, span id and flags that the model got."""
    answer = await stack.post("/v1/chat/completions", {"model": "llama"}, KEY, **headers)
    assert answer.status == 200
    found = GOOD.fullmatch(stack.upstream.seen[-1][1]["traceparent"])
    assert found is not None
    return found[1], found[2], found[3]


async def scraped(stack: Stack, name: str) -> float:
    url = f"http://127.0.0.1:{stack.settings.agent_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def test_a_request_without_a_trace_begins_one_and_is_told_with_its_times() -> None:
    before = time.time_ns()
    async with traced() as (stack, received):
        trace, span_id, flags = await passed_on(stack)
        await eventually(lambda: bool(received.of(trace)))
        ((service, span),) = received.of(trace)
        await eventually_sent(stack, 1)
    assert (service, flags) == ("llmservice-gateway", "01")
    assert (span.span_id.hex(), span.parent_span_id) == (span_id, b"")
    assert (span.name, span.kind) == ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER)
    # HAProxy's clock is that of its last wake-up.
    assert before - 10**9 < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns()
    told = attributes(span)
    assert told["http.response.status_code"] == 200
    assert told["llmservice.route"] == "team-a/llama"
    assert told["llmservice.key_id"] == f"{1:016x}"
    assert "upstream" not in str(span)


async def eventually_sent(stack: Stack, count: int) -> None:
    async def sent() -> bool:
        return await scraped(stack, 'llmservice_gateway_spans_total{result="sent"}') == count

    await eventually(sent)


@pytest.mark.parametrize(("flags", "told"), [("01", 1), ("00", 0)])
async def test_a_clients_trace_is_kept_with_its_flag(flags: str, told: int) -> None:
    async with traced() as (stack, received):
        trace, span_id, passed = await passed_on(
            stack, traceparent=f"00-{TRACE}-{PARENT}-{flags}", tracestate="vendor=1"
        )
        assert (trace, passed) == (TRACE, flags)
        assert span_id != PARENT
        assert stack.upstream.seen[-1][1]["tracestate"] == "vendor=1"
        last, *_ = await passed_on(stack)
        await eventually(lambda: bool(received.of(last)))
        spans = received.of(TRACE)
    assert [span.parent_span_id.hex() for _, span in spans] == [PARENT] * told


@pytest.mark.parametrize(
    "bad",
    ["", "x", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{PARENT}-01",
     f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-x", f"00-{TRACE}-{PARENT}"],
)  # fmt: skip
async def test_a_bad_traceparent_gives_way_to_a_new_trace(bad: str) -> None:
    async with traced() as (stack, _):
        trace, _, flags = await passed_on(stack, traceparent=bad, tracestate="vendor=1")
        assert trace != TRACE
        assert flags == "01"
        assert "tracestate" not in stack.upstream.seen[-1][1]


async def test_every_request_has_ids_of_its_own() -> None:
    async with traced() as (stack, received):
        ids = [await passed_on(stack) for _ in range(20)]
        await eventually(lambda: len(received.spans) == 20)
    assert len({trace for trace, _, _ in ids}) == 20
    assert len({span for _, span, _ in ids}) == 20
    assert {span.span_id.hex() for _, span in received.spans} == {span for _, span, _ in ids}


async def test_the_ratio_says_how_many_new_traces_are_sampled() -> None:
    async with traced(tracing_samples_per_million=0) as (stack, received):
        flags = {(await passed_on(stack))[2] for _ in range(5)}
        trace, *_ = await passed_on(stack, traceparent=f"00-{TRACE}-{PARENT}-01")
        await eventually(lambda: bool(received.of(trace)))
    assert flags == {"00"}
    assert len(received.spans) == 1


async def test_what_the_gateway_refuses_is_told_too() -> None:
    async with traced() as (stack, received):
        answer = await stack.post("/v1/chat/completions", {"model": "llama"}, "llms_x.y")
        assert answer.status == 401
        await eventually(lambda: bool(received.spans))
        ((_, span),) = received.spans
    assert attributes(span)["http.response.status_code"] == 401
    assert "llmservice.key_id" not in attributes(span)


async def test_without_an_endpoint_a_trace_passes_by_and_none_is_begun() -> None:
    async with running() as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        await stack.post("/v1/chat/completions", {"model": "llama"}, KEY)
        assert "traceparent" not in stack.upstream.seen[-1][1]
        given = f"00-{TRACE}-{PARENT}-01"
        await stack.post("/v1/chat/completions", {"model": "llama"}, KEY, traceparent=given)
        assert stack.upstream.seen[-1][1]["traceparent"] == given
        assert not stack.settings.trace_socket.exists()


async def test_a_receiver_that_is_away_costs_requests_nothing() -> None:
    async with running(tracing_endpoint="http://127.0.0.1:9") as stack:
        await stack.put("llmservices", llmservice("llama", address=stack.upstream.address))
        await stack.put("apikeys", apikey(1))
        statuses = [(await stack.post("/v1/chat/completions", {"model": "llama"}, KEY)).status for _ in range(5)]
        assert statuses == [200] * 5
