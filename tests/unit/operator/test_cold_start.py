"""The phases of a cold start, from a pod as the API server holds it to status and a histogram."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llmservice_operator.cold_start import cold_start
from llmservice_operator.cold_start_metrics import ColdStarts
from llmservice_operator.observed import rfc3339
from tests.unit.operator.builders import NOON, AnEngine, APod
from tests.unit.operator.world import World

Json = dict[str, Any]
REVISION = "m-000000"


def at(seconds: int) -> str:
    return rfc3339(NOON + timedelta(seconds=seconds))


def ran(name: str, begin: int, end: int) -> Json:
    return {"name": name, "state": {"terminated": {"startedAt": at(begin), "finishedAt": at(end), "exitCode": 0}}}


def a_pod(created: int = 0, init: Sequence[Json] = (), restarts: int = 0) -> Json:
    """It came up; `init`: its init containers."""
    pod = APod(REVISION).came_up(created, restarts).build()
    pod["status"]["initContainerStatuses"] = list(init)
    return pod


INIT = [ran("wait-gcs-ready", 20, 30), ran("fetch", 31, 58)]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (a_pod(), {"node": 3, "image": 57, "weights": 0, "engine": 40, "total": 100}),
        (a_pod(init=INIT), {"node": 3, "image": 17, "weights": 27, "engine": 40, "total": 100}),
        (a_pod(init=INIT[:1]), {"node": 3, "image": 17, "weights": 0, "engine": 40, "total": 100}),
        (APod(REVISION).came_up().terminating().build(), None),
        (a_pod(restarts=1), None),
        (a_pod(init=[INIT[0], INIT[1] | {"restartCount": 2}]), None),
        (APod(REVISION).ready().build(), None),
    ],
)
def test_the_phases_of_a_pod(pod: Json, expected: Json | None) -> None:
    assert cold_start([pod], {}).get("coldStartSeconds") == expected


@pytest.mark.parametrize(
    ("replica", "expected"),
    [
        ({"start": {"warm_up": 2.6}}, {"warmUp": 3}),
        ({"start": {"load": 9.0}}, {}),
        ({"start": {"warm_up": "x"}}, {}),
        ({"start": {"warm_up": -1.0}}, {}),
        ({"start": {"warm_up": float("nan")}}, {}),
        ({"start": {"warm_up": 1e300}}, {}),
        ({"start": ["warm_up"]}, {}),
        (None, {}),
    ],
)
def test_the_first_requests_are_told_where_the_replica_says_them(replica: Json | None, expected: Json) -> None:
    phases = {"node": 3, "image": 57, "weights": 0, "engine": 40, "total": 100}
    assert cold_start([a_pod()], {}, replica)["coldStartSeconds"] == phases | expected


def test_the_youngest_replica_is_told_of_and_only_once() -> None:
    told = cold_start([a_pod(0), a_pod(10)], {})
    assert told["lastColdStart"] == at(10)
    again = a_pod(10)
    again["status"]["conditions"][1]["lastTransitionTime"] = at(9999)
    assert cold_start([a_pod(0), again], told) == told, "Ready again is no cold start"
    assert cold_start([a_pod(0)], told) == told, "nor is an older one that is left"
    assert cold_start([], told) == told
    assert cold_start([a_pod(20)], told)["lastColdStart"] == at(20)


def test_a_start_stands_in_status_after_its_pod_is_gone() -> None:
    world = World()
    revision = str(world.step().wanted)
    world.pods.append(APod(revision).came_up().build())
    world.engine(revision, AnEngine().running()).settle()
    assert world.service["status"]["coldStartSeconds"]["total"] == 100
    world.pods.clear()
    world.settle()
    assert world.service["status"]["coldStartSeconds"]["total"] == 100


def test_each_cold_start_is_counted_once_whoever_reads_the_status_later() -> None:
    registry = CollectorRegistry()
    after = {"placement": {"pool": "l4"}, **cold_start([a_pod(init=INIT)], {})}
    starts = ColdStarts(registry)
    starts.written({}, {})
    starts.written({}, after)
    starts.written(after, after | {"replicas": 2})

    def value(name: str, phase: str) -> float | None:
        return registry.get_sample_value(f"llmservice_cold_start_seconds_{name}", {"pool": "l4", "phase": phase})

    counted = {phase: (value("count", phase), value("sum", phase)) for phase in ("node", "weights", "total")}
    assert counted == {"node": (1, 3), "weights": (1, 27), "total": (1, 100)}
    ColdStarts(again := CollectorRegistry()).written(after, after)
    assert again.get_sample_value("llmservice_cold_start_seconds_count", {"pool": "l4", "phase": "total"}) is None
