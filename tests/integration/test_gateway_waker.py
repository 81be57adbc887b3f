"""The real client writes one field of status, once in a while, and a failure is no request's matter."""

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
        yield Waker(KubernetesWriter(client.CustomObjectsApi(api)), metrics, lambda: clock[0]), metrics, clock
    await runner.cleanup()


def asleep(name: str = "m", **fields: Any) -> objects.Service:
    """A service that sleeps."""
    found = objects.service(llmservice(name, sleeps=True, replicas=0, **fields))
    assert found is not None
    return found


async def test_one_field_is_applied_once_in_ten_seconds_for_each_service() -> None:
    server = Apiserver()
    async with waking(server) as (waker, _, clock):
        for _ in range(50):
            waker.wake(asleep())
        waker.wake(asleep("other"))
        await eventually(lambda: len(server.written) == 2)
        clock[0] += 9
        waker.wake(asleep())
        clock[0] += 1
        waker.wake(asleep(woken="2026-01-31T12:00:09Z"))  # another gateway did
        waker.wake(asleep())
        await eventually(lambda: len(server.written) == 3)
    # Each write has a thread of its own, so the first two came in any order.
    assert sorted(path.split("/")[-2] for path, _, _, _ in server.written) == ["m", "m", "other"]
    path, query, kind, body = next(each for each in server.written if "/m/" in each[0])
    assert path == PATH.format(namespace="team-a", name="m")
    assert query == {"fieldManager": "llmservice-gateway", "force": "true"}
    assert kind == "application/apply-patch+yaml"
    assert body == {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": "m", "namespace": "team-a"},
        "status": {"wakeRequestedAt": "2026-01-31T12:00:00Z"},
    }


def written(server: Apiserver, count: int) -> bool:
    """Whether so much was written."""
    return len(server.written) == count


@pytest.mark.parametrize(("status", "failures"), [(404, 0), (403, 1), (500, 1)])
async def test_a_refusal_is_counted_and_the_next_time_it_is_tried_again(status: int, failures: int) -> None:
    server = Apiserver(status=status)
    async with waking(server) as (waker, metrics, clock):
        for number in (1, 2):
            waker.wake(asleep())
            await eventually(partial(written, server, number))
            clock[0] += 10
        name = "llmservice_gateway_failures_total"
        await eventually(lambda: (metrics.registry.get_sample_value(name, {"what": "wake"}) or 0) == 2 * failures)


async def test_an_apiserver_that_is_away_is_a_failure() -> None:
    settings, metrics = client.Configuration(host=f"http://127.0.0.1:{free_ports(1)[0]}"), Metrics()
    settings.retries = False
    with client.ApiClient(settings) as api:
        Waker(KubernetesWriter(client.CustomObjectsApi(api)), metrics, lambda: NOON).wake(asleep())
        name = "llmservice_gateway_failures_total"
        await eventually(lambda: metrics.registry.get_sample_value(name, {"what": "wake"}) == 1)
