"""A service that sleeps and is woken by the gateway: from what status says to the replicas that are kept."""

import json
from datetime import timedelta
from typing import Any

import pytest

from llmservice_operator.observed import Observed, rfc3339
from llmservice_operator.reconcile import again_after
from llmservice_operator.waking import REQUESTED, WAKES, least_awake, wake_left
from tests.unit.operator.builders import NOON, AService
from tests.unit.operator.world import World

ASLEEP = {"replicas": 0}
SCALED: dict[str, Any] = {"scaling": {"minReplicas": 0, "maxReplicas": 3, "idleAfter": "5m"}}


def world(spec: dict[str, Any], ago: timedelta | None) -> World:
    """A service that was woken so long ago, if ever."""
    service = AService().spec(**spec)
    if ago is not None:
        service.status(**{REQUESTED: rfc3339(NOON - ago)})
    return World(service.build())


def observed(spec: dict[str, Any], ago: timedelta | None) -> Observed:
    return world(spec, ago).observed()


@pytest.mark.parametrize(
    ("spec", "ago", "left"),
    [
        (ASLEEP, None, None),
        (ASLEEP, timedelta(), timedelta(minutes=15)),
        (ASLEEP, timedelta(minutes=14), timedelta(minutes=1)),
        (ASLEEP, timedelta(minutes=15), None),
        (SCALED, timedelta(minutes=4), timedelta(minutes=1)),
        (SCALED, timedelta(minutes=5), None),
        ({"scaling": {**SCALED["scaling"], "minReplicas": 1}}, timedelta(), None),
        ({"scaling": {**SCALED["scaling"], "idleAfter": "0s"}}, timedelta(), None),
        ({"replicas": 2}, timedelta(), None),
        ({}, timedelta(), None),
    ],
)
def test_a_wake_stands_for_the_idle_time(spec: dict[str, Any], ago: timedelta | None, left: timedelta | None) -> None:
    assert wake_left(observed(spec, ago)) == left


@pytest.mark.parametrize(
    ("ago", "active", "answered", "least"),
    [
        (None, "r", True, 0),
        (timedelta(), "r", True, 1),
        (timedelta(hours=1), "r", True, 0),
        (None, "r", False, 1),
        (None, "older", True, 1),
    ],
)
def test_one_replica_is_kept_for_a_wake_and_until_a_revision_has_given_a_token(
    ago: timedelta | None, active: str, answered: bool, least: int
) -> None:
    found = world(SCALED, ago).service
    condition = {"type": "EngineReady", "status": str(answered)}
    found["status"] = {**found.get("status", {}), "revision": {"active": active}, "conditions": [condition]}
    assert least_awake(World(found).observed(), "r") == least


@pytest.mark.parametrize(
    ("said", "least"),
    [
        ({}, 1),
        ({"a": (0, 1)}, 1),
        ({"a": (0, 4)}, 1),
        ({"a": (0, 5)}, 2),
        ({"a": (0, 2), "b": (0, 2)}, 1),  # of two gateways
        ({"a": (0, 2), "b": (-299, 3)}, 2),  # in the same wake
        ({"a": (0, 2), "b": (-300, 3)}, 1),  # in one before
        ({"a": (9, 5)}, 2),  # its clock is ahead
        ({"a": (0, 200)}, 50),
    ],
)
def test_a_wake_brings_what_the_requests_of_all_gateways_need(said: dict[str, tuple[int, int]], least: int) -> None:
    found = world(SCALED, timedelta())
    found.service["status"][WAKES] = wakes(said)
    assert least_awake(found.observed(), None) == least


def wakes(said: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Of each gateway: when, in seconds from noon, and how many requests."""
    return {
        name: {"requestedAt": rfc3339(NOON + timedelta(seconds=at)), "requests": count}
        for name, (at, count) in said.items()
    }


def scaling(found: World) -> tuple[int, int]:
    """Bounds that Ray Serve is told."""
    (ref,) = [ref for ref in found.children if ref.plural == "rayservices"]
    serve = json.loads(found.children[ref]["spec"]["serveConfigV2"])
    config = serve["applications"][0]["deployments"][0]["autoscaling_config"]
    return config["min_replicas"], config["max_replicas"]


@pytest.mark.parametrize(
    ("spec", "held", "brought"),
    [
        (ASLEEP, 0, [1, 1, 1]),
        (ASLEEP, 50, [1, 1, 1]),
        (SCALED, 0, [1, 1, 1]),
        (SCALED, 4, [1, 1, 2]),
        (SCALED, 8, [2, 2, 3]),
        (SCALED, 50, [3, 3, 3]),
    ],
)
def test_a_wake_brings_as_many_as_bounds_allow_and_grows_and_what_is_told_twice_writes_nothing(
    spec: dict[str, Any], held: int, brought: list[int]
) -> None:
    found = world(spec, None)
    found.step()
    (revision,) = found.revisions()
    found.up(revision).settle()
    found.pods.clear()
    found.settle()
    least = []
    for count in (held, held, held + 4):
        found.service["status"] |= {REQUESTED: rfc3339(found.now), WAKES: wakes({"a": (0, count)} if count else {})}
        found.settle()
        least.append(scaling(found)[0])
        found.later(seconds=10)
        found.service["status"][REQUESTED] = rfc3339(found.now)
        assert found.step().apply == ()
    assert least == brought
    assert found.service["status"]["desiredReplicas"] == brought[-1]
    assert found.revisions() == [revision]
    found.later(minutes=15 if spec is ASLEEP else 5, seconds=-1).settle()
    assert scaling(found)[0] == brought[-1], "to the end of the wake"
    found.later(seconds=1).settle()
    assert scaling(found)[0] == 0


@pytest.mark.parametrize(("spec", "most"), [(ASLEEP, 1), (SCALED, 3)])
def test_who_is_woken_keeps_one_replica_of_the_same_revision_until_the_wake_is_over(
    spec: dict[str, Any], most: int
) -> None:
    found = world(spec, None)
    found.step()
    revisions = found.revisions()
    assert scaling(found) == (1, most), "until it has given a token"
    found.up(revisions[0])
    found.settle()
    found.pods.clear()
    found.settle()
    assert scaling(found) == (0, most)
    assert found.service["status"]["desiredReplicas"] == 0
    found.service["status"][REQUESTED] = rfc3339(NOON)
    plan = found.settle()
    assert scaling(found) == (1, most)
    assert found.service["status"]["desiredReplicas"] == 1
    assert again_after(found.observed(), plan) is not None
    found.later(minutes=15).settle()
    assert scaling(found) == (0, most)
    assert found.service["status"]["desiredReplicas"] == 0
    assert found.revisions() == revisions


def test_the_head_stays_in_the_service_of_one_that_is_woken() -> None:
    """Ray Serve's proxy there holds requests while no replica is up, and is the way to the first one."""
    found = world(ASLEEP, timedelta())
    found.settle()
    (ref,) = [ref for ref in found.children if ref.plural == "rayservices"]
    assert found.children[ref]["spec"]["excludeHeadPodFromServeSvc"] is False


def test_time_alone_ends_a_wake() -> None:
    found = world(SCALED, timedelta(minutes=4))
    found.step()
    found.up(found.revisions()[0])
    plan = found.settle()
    assert again_after(found.observed(), plan) == 60.0


def test_nothing_is_changed_of_a_service_that_is_paused() -> None:
    found = world(ASLEEP, None)
    found.step()
    found.up(found.revisions()[0])
    found.settle()
    found.edit(paused=True)
    found.service["status"][REQUESTED] = rfc3339(NOON)
    found.settle()
    assert scaling(found) == (0, 1)
