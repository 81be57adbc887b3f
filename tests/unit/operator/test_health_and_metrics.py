"""Signs of life, and what Prometheus is told."""

import logging

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from llmservice_api.reasons import Reason
from llmservice_operator.gpupools import PoolReporter, finding
from llmservice_operator.health import Health, serve
from llmservice_operator.metrics import Metrics
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import NOON, APool, a_node
from tests.unit.operator.memory import MemoryCluster


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("dead", "passed", "relisted", "troubles"),
    [
        ([], 0, False, []),
        (["pods"], 0, False, ["watcher is dead: pods"]),
        ([], 9, False, []),
        ([], 31, False, ["last relist was 31 s ago", "event loop lags by 31 s"]),
        ([], 31, True, ["event loop lags by 31 s"]),
    ],
)
def test_troubles(dead: list[str], passed: float, relisted: bool, troubles: list[str]) -> None:
    clock = Clock()
    health = Health(10, clock, lambda: dead)
    clock.now = passed
    if relisted:
        health.relisted()
    assert health.troubles() == troubles


async def test_health_and_metrics_over_http() -> None:
    dead: list[str] = []
    runner = await serve(Health(10, Clock(), lambda: dead), CollectorRegistry(), 0)
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        dead.append("pods")
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (503, "watcher is dead: pods\n")
        async with session.get("/metrics") as answer:
            assert answer.status == 200
    await runner.cleanup()


async def test_metrics_count_reconciles_and_failures(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(CollectorRegistry())

    async def reconcile(key: str) -> None:
        if key == "bad":
            raise ValueError("x")

    counted = metrics.timed("LLMService", reconcile)
    await counted("good")
    with pytest.raises(ValueError):
        await counted("bad")
    metrics.failed("LLMService", logging.getLogger("test"))("bad", ValueError("x"))
    metrics.watch_queues({"LLMService": [1, 2]})
    text = generate_latest(metrics.registry).decode()
    assert 'llmservice_reconcile_seconds_count{kind="LLMService"} 2.0' in text
    assert 'llmservice_reconcile_failures_total{error="ValueError",kind="LLMService"} 1.0' in text
    assert 'llmservice_queue_depth{kind="LLMService"} 2.0' in text
    assert "will be tried again" in caplog.text


@pytest.mark.parametrize(
    ("pool", "nodes", "holds", "reason"),
    [
        (APool(), 2, True, Reason.NODES_MATCH),
        (APool().having(maxNodes=3), 0, True, Reason.NODES_ON_DEMAND),
        (APool(), 0, False, Reason.NO_NODE),
    ],
)
def test_a_pool_is_ready_where_a_replica_could_run(pool: APool, nodes: int, holds: bool, reason: Reason) -> None:
    found = finding(pool.build(), nodes)
    assert (found.holds, found.reason) == (holds, reason)


async def test_a_pools_status_is_written_once() -> None:
    store, cluster = Store(), MemoryCluster()
    pool = {"metadata": {"name": "l4", "uid": "p", "generation": 1}, "spec": APool().gpu().wire()}
    store.put("gpupools", cluster.objects[cluster.put("gpupools", pool)])
    reporter = PoolReporter(store, cluster, lambda: NOON)
    for _ in range(2):
        await reporter.reconcile("l4")
    store.put("nodes", a_node(nvidia_com__gpu_product="NVIDIA-L4"))
    for _ in range(2):
        await reporter.reconcile("l4")
    assert len(cluster.writes) == 2
    assert cluster.objects[Ref("gpupools", "", "l4")]["status"]["nodes"] == 1
    await reporter.reconcile("unknown")
