"""Signs of life, and what Prometheus is told."""

import logging
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from llmservice_api.reasons import Reason
from llmservice_operator.gpupools import PoolReporter, finding
from llmservice_operator.health import Health, dead_watchers, serve
from llmservice_operator.metrics import Metrics, seconds_of_rollout, seconds_to_ready
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import NOON, APool, AService, a_node
from tests.unit.operator.memory import MemoryCluster

Json = dict[str, Any]


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


ALL = {("llmservices", "None"), ("pods", "None"), ("nodes", "None")}
TWO = {("llmservices", "a"), ("llmservices", "b"), ("pods", "a"), ("pods", "b"), ("nodes", "None")}


@pytest.mark.parametrize(
    ("live", "dead"),
    [
        (ALL, []),
        (ALL - {("pods", "None")}, ["pods"]),
        (ALL - {("nodes", "None")}, ["nodes"]),
        (set(), ["llmservices", "nodes", "pods"]),
        (TWO, []),
        (TWO - {("pods", "b")}, ["pods in b"]),
        ({pair for pair in TWO if pair[1] != "b"}, []),  # a listed namespace that is not made yet
    ],
)
def test_a_watcher_is_missed_in_every_namespace_that_is_watched(live: set[tuple[str, str]], dead: list[str]) -> None:
    assert dead_watchers({"llmservices", "pods", "nodes"}, live) == dead


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
    metrics.watch({"LLMService": [1, 2]}, lambda: True)
    text = generate_latest(metrics.registry).decode()
    assert 'llmservice_reconcile_seconds_count{kind="LLMService"} 2.0' in text
    assert 'llmservice_reconcile_failures_total{error="ValueError",kind="LLMService"} 1.0' in text
    assert 'llmservice_queue_depth{kind="LLMService"} 2.0' in text
    assert "will be tried again" in caplog.text


def test_metrics_count_writes_by_kind_and_refusals_by_reason() -> None:
    metrics = Metrics(CollectorRegistry())
    for verb, reason in [("patch", ""), ("patch", ""), ("get", ""), ("patch", "Conflict"), ("get", "Unreachable")]:
        metrics.answered("llmservices/status", verb, reason)
    text = generate_latest(metrics.registry).decode()
    assert [line for line in text.splitlines() if line.startswith("llmservice_writes_total{")] == [
        'llmservice_writes_total{resource="llmservices/status",verb="patch"} 2.0'
    ]
    assert 'errors_total{reason="Conflict",resource="llmservices/status",verb="patch"} 1.0' in text
    assert 'errors_total{reason="Unreachable",resource="llmservices/status",verb="get"} 1.0' in text


@pytest.mark.parametrize(("leads", "leader", "depth"), [(True, 1, 2), (False, 0, 0)])
def test_a_standby_says_that_it_is_one_and_that_no_key_waits(leads: bool, leader: int, depth: int) -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.watch({"LLMService": [1, 2]}, lambda: leads)
    assert metrics.registry.get_sample_value("llmservice_leader") == leader
    assert metrics.registry.get_sample_value("llmservice_queue_depth", {"kind": "LLMService"}) == depth


def a_ready(status: str, since: str) -> Json:
    return {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": since}]}


CREATED = "2026-01-31T11:58:00Z"
LATER = "2026-01-31T11:59:00Z"


@pytest.mark.parametrize(
    ("before", "after", "took"),
    [
        ({}, a_ready("True", LATER), 120),
        (a_ready("False", LATER), a_ready("True", LATER), 60),
        (a_ready("True", CREATED), a_ready("True", LATER), None),
        (a_ready("True", CREATED), a_ready("False", LATER), None),
        ({}, {}, None),
    ],
)
def test_how_long_a_service_was_not_ready(before: Json, after: Json, took: float | None) -> None:
    service = AService().metadata(creationTimestamp=CREATED).status(**before).build()
    assert seconds_to_ready(service, after, NOON) == took


PENDING = {"active": "m-1", "pending": "m-2", "pendingSince": LATER}


@pytest.mark.parametrize(
    ("before", "after", "took"),
    [
        (PENDING, {"active": "m-2", "drainingSince": LATER}, 60),
        (PENDING, PENDING, None),
        (PENDING, {"active": "m-1"}, None),
        ({"active": "m-1"}, {"active": "m-1"}, None),
        ({}, {}, None),
    ],
)
def test_how_long_a_revision_came_up(before: Json, after: Json, took: float | None) -> None:
    service = AService().status(revision=before).build()
    assert seconds_of_rollout(service, {"revision": after}, NOON) == took
    metrics = Metrics(CollectorRegistry())
    metrics.status_written(service, {"revision": after}, NOON)
    assert metrics.registry.get_sample_value("llmservice_rollout_seconds_count") == (took is not None)


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
