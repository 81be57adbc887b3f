"""The real client writes a wake to status, once in a while, and a failure is no request's matter."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from kubernetes import client

from llmservice_gateway import objects
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.waker import KubernetesWriter, Waker
from tests.eventually import eventually
from tests.integration.gateway_stack import free_ports
from tests.unit.gateway.builders import llmservice

PATH = "/apis/llmservice.io/v1alpha1/namespaces/{namespace}/llmservices/{name}/status"
NOON = 1_769_860_800.0


@dataclass
class Apiserver:
    """Keeps what is written; answers with `status`."""

    port: int = field(default_factory=lambda: free_ports(1)[0])
    status: int = 200
    written: list[tuple[str, dict[str, str], str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A patch of a status."""
        body = json.loads(await request.read())
        self.written.append((request.path, dict(request.query), request.headers["Content-Type"], body))
        return web.json_response({}, status=self.status)


@asynccontextmanager
async def waking(server: Apiserver) -> AsyncIterator[tuple[Waker, Metrics, list[float]]]:
    """A waker of the cluster, its figures, and its clock."""
    app = web.Application()
    app.router.add_patch(PATH, server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    settings = client.Configuration(host=f"http://127.0.0.1:{server.port}")
    settings.retries = False
    metrics, clock = Metrics(), [NOON]
    with client.ApiClient(settings) as api:
        yield Waker(KubernetesWriter(client.CustomObjectsApi(api)), "gw-a", metrics, lambda: clock[0]), metrics, clock
    await runner.cleanup()


def asleep(name: str = "m", **fields: Any) -> objects.Service:
    """A service that sleeps."""
    found = objects.service(llmservice(name, sleeps=True, replicas=0, **fields))
    assert found is not None
    return found


def entry(requests: int, moment: str = "2026-01-31T12:00:00Z") -> dict[str, Any]:
    """What a gateway said in a wake."""
    return {"requestedAt": moment, "requests": requests}


async def test_each_service_is_woken_once_in_ten_seconds_where_there_is_nothing_new() -> None:
    server = Apiserver()
    async with waking(server) as (waker, _, clock):
        for _ in range(50):
            waker.wake(asleep(), 7)
        waker.wake(asleep("other"), 1)
        await eventually(lambda: len(server.written) == 2)
        clock[0] += 9
        waker.wake(asleep(), 7)
        clock[0] += 1
        waker.wake(asleep(woken="2026-01-31T12:00:09Z", wakes={"gw-a": entry(7)}), 7)  # another gateway did
        waker.wake(asleep(), 7)
        await eventually(lambda: len(server.written) == 3)
    # Each write has a thread of its own, so the first two came in any order.
    assert sorted(path.split("/")[-2] for path, _, _, _ in server.written) == ["m", "m", "other"]
    path, query, kind, body = next(each for each in server.written if "/m/" in each[0])
    assert path == PATH.format(namespace="team-a", name="m")
    assert query == {"fieldManager": "llmservice-gateway"}
    assert kind == "application/merge-patch+json"
    assert body == {"status": {"wakeRequestedAt": "2026-01-31T12:00:00Z", "wakes": {"gw-a": entry(7)}}}


async def test_more_requests_are_told_fewer_are_not_and_gateways_of_long_ago_are_forgotten() -> None:
    server = Apiserver()
    async with waking(server) as (waker, _, clock):
        waker.wake(asleep(), 1)
        await eventually(lambda: len(server.written) == 1)
        clock[0] += 1
        waker.wake(asleep(wakes={"gw-a": entry(1)}), 9)
        clock[0] += 1
        waker.wake(asleep(wakes={"gw-a": entry(1)}), 9)
        await eventually(lambda: len(server.written) == 2)
        clock[0] += 10
        told = {"gw-a": entry(9), "gw-b": entry(5), "gw-c": entry(5, "2026-01-30T11:00:00Z")}
        waker.wake(asleep(wakes=told), 2)
        await eventually(lambda: len(server.written) == 3)
    assert [body["status"]["wakes"] for _, _, _, body in server.written] == [
        {"gw-a": entry(1)},
        {"gw-a": entry(9, "2026-01-31T12:00:02Z")},
        {"gw-a": entry(9, "2026-01-31T12:00:12Z"), "gw-c": None},
    ]


def written(server: Apiserver, count: int) -> bool:
    """Whether so much was written."""
    return len(server.written) == count


@pytest.mark.parametrize(("status", "failures"), [(404, 0), (403, 1), (500, 1)])
async def test_a_refusal_is_counted_and_the_next_time_it_is_tried_again(status: int, failures: int) -> None:
    server = Apiserver(status=status)
    async with waking(server) as (waker, metrics, clock):
        for number in (1, 2):
            waker.wake(asleep(), 1)
            await eventually(partial(written, server, number))
            clock[0] += 10
        name = "llmservice_gateway_failures_total"
        await eventually(lambda: (metrics.registry.get_sample_value(name, {"what": "wake"}) or 0) == 2 * failures)


async def test_an_apiserver_that_is_away_is_a_failure() -> None:
    settings, metrics = client.Configuration(host=f"http://127.0.0.1:{free_ports(1)[0]}"), Metrics()
    settings.retries = False
    with client.ApiClient(settings) as api:
        Waker(KubernetesWriter(client.CustomObjectsApi(api)), "gw-a", metrics, lambda: NOON).wake(asleep(), 1)
        name = "llmservice_gateway_failures_total"
        await eventually(lambda: metrics.registry.get_sample_value(name, {"what": "wake"}) == 1)
