"""When Budgets' status and Events are written: rarely, and again after a failure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmservice_gateway.ledger.budgets import REWRITE_MS
from llmservice_gateway.ledger.cluster import ClusterFailed
from llmservice_gateway.ledger.records import Budget
from llmservice_gateway.ledger.reporter import Reporter
from llmservice_gateway.source import Put
from tests.unit.gateway.ledger.builders import Json, budget, usage
from tests.unit.gateway.ledger.test_ledger import World


class Cluster:
    """Takes what is written, as long as it is not away, and tells the ledger of it as a watch would."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.percents: list[int] = []
        self.reasons: list[str] = []
        self.away = False

    async def write_status(self, found: Budget, status: Mapping[str, Any]) -> None:
        assert found.place == ("team-a", "daily")
        if self.away:
            raise ClusterFailed("away")
        self.percents.append(status["percent"])
        self._world.ledger.registry.take(Put("budgets", a_budget() | {"status": dict(status)}))

    async def write_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        assert namespace == "team-a"
        if self.away:
            raise ClusterFailed("away")
        self.reasons.append(event["reason"])


def a_budget() -> Json:
    return budget("daily", window="Day", tokens=1000)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    await found.ledger.load()
    return found


async def spend(world: World, count: int) -> None:
    await world.record(*[usage(prompt_tokens=10, cached_tokens=0, completion_tokens=0) for _ in range(count)])


async def test_status_is_written_once_a_minute_where_it_changed(world: World) -> None:
    cluster = Cluster(world)
    reporter = Reporter(world.ledger, cluster, world.metrics)
    for tokens, later in ((0, 0), (10, 1), (10, 1), (0, REWRITE_MS), (0, REWRITE_MS), (1, REWRITE_MS)):
        world.now += later
        await spend(world, tokens)
        await reporter.report()
    assert cluster.percents == [0, 20, 21]


async def test_a_clock_that_went_back_holds_no_status_back(world: World) -> None:
    cluster = Cluster(world)
    reporter = Reporter(world.ledger, cluster, world.metrics)
    for tokens, later in ((10, 0), (10, -30 * REWRITE_MS), (10, REWRITE_MS)):
        world.now += later
        await spend(world, tokens)
        await reporter.report()
    assert cluster.percents == [10, 20, 30]


async def test_thresholds_are_told_at_once_and_once(world: World) -> None:
    cluster = Cluster(world)
    reporter = Reporter(world.ledger, cluster, world.metrics)
    for count in (79, 1, 0, 19, 1, 0, 50):
        await spend(world, count)
        await reporter.report()
    assert cluster.reasons == ["BudgetNearlySpent", "BudgetSpent"]
    world.now += REWRITE_MS
    await reporter.report()
    await Reporter(world.ledger, cluster, world.metrics).report()
    assert cluster.reasons == ["BudgetNearlySpent", "BudgetSpent"]


async def test_what_could_not_be_written_is_written_later(world: World) -> None:
    cluster = Cluster(world)
    cluster.away = True
    reporter = Reporter(world.ledger, cluster, world.metrics)
    await spend(world, 100)
    for _ in range(3):
        await reporter.report()
    assert world.metrics.registry.get_sample_value("llmservice_ledger_failures_total", {"what": "status"}) == 3
    cluster.away = False
    await reporter.report()
    assert (cluster.percents, cluster.reasons) == ([100], ["BudgetNearlySpent", "BudgetSpent"])
