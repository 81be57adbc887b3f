"""A service that sleeps long enough leaves nothing but its route, and a request brings it back: from status alone."""

from datetime import timedelta
from typing import Any

import pytest

from llmservice_api.reasons import Reason
from llmservice_operator.engine import EngineState
from llmservice_operator.hibernation import Rest, rest
from llmservice_operator.observed import rfc3339
from llmservice_operator.reconcile import again_after
from llmservice_operator.store import Ref
from llmservice_operator.waking import REQUESTED, WAKES
from tests.unit.operator.builders import NOON, AnEngine, APod
from tests.unit.operator.world import World, serving

SCALING: dict[str, Any] = {"minReplicas": 0, "maxReplicas": 2, "idleAfter": "1m", "hibernateAfter": "10m"}
NOW, AGO = 0, -600
"""Seconds from noon: this moment, and hibernateAfter ago."""


def asleep(**spec: Any) -> tuple[World, str]:
    """A service whose last replica is gone as of now."""
    world, revision = serving(**({"scaling": SCALING} | spec))
    world.pods.clear()
    world.settle()
    return world, revision


def hibernated(**spec: Any) -> tuple[World, str]:
    """One whose RayService is gone, too."""
    world, revision = asleep(**spec)
    world.later(minutes=10).settle()
    return world, revision


def test_the_ray_service_goes_after_hibernate_after_and_the_route_stays() -> None:
    world, revision = asleep()
    address = world.service["status"]["address"]
    assert world.service["status"]["idleSince"] == rfc3339(NOON)
    assert again_after(world.observed(), world.step()) == 600
    world.later(minutes=9, seconds=59).settle()
    assert world.revisions() == [revision]
    plan = world.later(seconds=1).settle()
    assert (world.revisions(), world.names("services"), world.names("networkpolicies")) == ([], [revision], ["m"])
    status = world.service["status"]
    assert (status["address"], status["replicas"], status["desiredReplicas"]) == (address, 0, 0)
    assert status["revision"] == {"active": revision}
    for kind in ("EngineReady", "Scaling", "Ready"):
        assert world.condition(kind)[:2] == ("True", "Hibernated"), kind
    assert world.condition("RouteReady")[1] == "RouteAnswers"
    assert again_after(world.observed(), plan) is None


def test_without_hibernate_after_a_service_sleeps_for_ever_and_status_counts_no_time() -> None:
    world, revision = asleep(scaling={key: value for key, value in SCALING.items() if key != "hibernateAfter"})
    world.later(days=30).settle()
    assert world.revisions() == [revision]
    assert "idleSince" not in world.service["status"]


def test_a_request_brings_the_same_revision_back_with_a_replica_and_without_a_pause_of_ready() -> None:
    world, revision = hibernated()
    address = world.service["status"]["address"]
    world.service["status"][REQUESTED] = rfc3339(world.now)
    plan = world.settle()
    assert world.revisions() == [revision]
    assert plan.rollout is not None
    assert (plan.rollout.active, plan.rollout.pending) == (revision, None)
    status = world.service["status"]
    assert (status["address"], status["desiredReplicas"]) == (address, 1)
    assert world.condition("Ready")[:2] == ("True", "Serving")
    assert "idleSince" not in status
    world.up(revision).later(minutes=5).settle()
    assert (world.revisions(), world.condition("Ready")[1]) == ([revision], "Serving")
    world.pods.clear()
    world.settle()
    assert world.service["status"]["idleSince"] == rfc3339(world.now), "its time begins anew"


def test_it_comes_back_with_what_the_held_requests_need_at_once() -> None:
    world, revision = hibernated()
    held = {"gateway": {"requestedAt": rfc3339(world.now), "requests": 5}}
    world.service["status"] |= {REQUESTED: rfc3339(world.now), WAKES: held}
    world.settle()
    assert (world.revisions(), world.service["status"]["desiredReplicas"]) == ([revision], 2)


def test_one_that_is_brought_back_does_not_hibernate_before_it_is_up() -> None:
    world, revision = hibernated()
    world.service["status"][REQUESTED] = rfc3339(world.now)
    world.settle()
    world.later(hours=1).settle()
    assert world.revisions() == [revision], "however long a start takes"
    world.engine(revision, AnEngine().running()).settle()
    assert world.service["status"]["idleSince"] == rfc3339(world.now), "nobody waited until it was up"


def test_an_engine_that_does_not_come_back_is_told() -> None:
    world, revision = hibernated()
    world.service["status"][REQUESTED] = rfc3339(world.now)
    world.settle()
    world.pods.append(APod(revision, "head").unschedulable("0/3 nodes are available").build())
    world.settle()
    assert world.condition("Ready")[:2] == ("False", "Unschedulable")


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ({"scaling": {**SCALING, "minReplicas": 1, "hibernateAfter": None}}, True),
        ({"scaling": {**SCALING, "hibernateAfter": None}}, True),
        ({"scaling": {**SCALING, "hibernateAfter": "1h"}}, True),
        ({"scaling": {**SCALING, "maxReplicas": 7}}, False),
        ({"access": {"mode": "Open"}}, False),
    ],
)
def test_what_a_change_that_needs_no_engine_does_to_one_that_hibernates(change: dict[str, Any], back: bool) -> None:
    world, revision = hibernated()
    address = world.service["status"]["address"]
    change = {name: _without_none(part) for name, part in change.items()}
    world.edit(**change).settle()
    assert world.revisions() == ([revision] if back else [])
    assert world.service["status"]["address"] == address


def test_a_change_of_the_engine_comes_up_and_is_asked_for_a_token_before_it_may_hibernate() -> None:
    world, old = hibernated()
    world.edit(model={"source": "hf://org/other", "revision": "abc"}).settle()
    (new,) = world.revisions()
    assert new != old
    assert world.condition("Ready")[0] == "False", "the old revision cannot be made from this spec"
    world.up(new).settle()
    assert world.condition("Ready")[:2] == ("True", "Serving")
    assert world.names("services") == [new]
    world.pods.clear()
    world.settle()
    world.later(minutes=10).settle()
    assert (world.revisions(), world.condition("Ready")[1]) == ([], "Hibernated")


def test_a_change_of_the_engine_while_asleep_takes_nothing_away() -> None:
    world, old = asleep()
    world.edit(model={"source": "hf://org/other", "revision": "abc"}).later(minutes=10).settle()
    assert len(world.revisions()) == 2
    assert world.service["status"]["revision"]["active"] == old


@pytest.mark.parametrize("edit", [{"paused": True}, {"placement": {"pools": ["missing"]}}, {"endpoint": {"host": "1"}}])
def test_nothing_moves_while_the_spec_cannot_be_carried_out(edit: dict[str, Any]) -> None:
    world, revision = hibernated()
    before = world.service["status"]
    world.edit(**edit).settle()
    world.service["status"][REQUESTED] = rfc3339(world.now)
    world.settle()
    status = world.service["status"]
    assert world.revisions() == []
    assert (status["address"], status["idleSince"]) == (before["address"], before["idleSince"])
    world.edit(**dict.fromkeys(edit)).settle()
    assert world.revisions() == [revision], "the request that waits is served"
    assert world.condition("Ready")[:2] == ("True", "Serving")


def test_paused_while_asleep_stays_asleep() -> None:
    world, revision = asleep()
    world.edit(paused=True).later(hours=1).settle()
    assert world.revisions() == [revision]
    world.edit(paused=False).settle()
    assert world.revisions() == []


def test_a_ray_service_that_somebody_deletes_of_one_that_is_up_comes_back_as_a_first_start() -> None:
    world, revision = serving(scaling=SCALING)
    del world.children[Ref("rayservices", "team-a", revision)]
    world.step()
    assert world.revisions() == [revision]
    assert world.condition("Ready")[0] == "False"


@pytest.mark.parametrize(
    ("since", "woken", "exists", "up", "pods", "expected"),
    [
        (None, None, True, True, 0, (NOW, False)),
        (None, None, True, False, 0, (None, False)),
        (None, None, True, True, 1, (None, False)),
        (-1, None, True, True, 0, (-1, False)),
        (-1, None, True, True, 1, (None, False)),
        (-1, None, True, False, 0, (-1, False)),  # Ray Serve takes over changed settings, say
        (-1, None, False, False, 0, (-1, False)),  # hibernateAfter has become longer
        (AGO, None, True, True, 0, (AGO, True)),
        (AGO, None, True, True, 1, (None, False)),
        (AGO, AGO - 1, False, False, 0, (AGO, True)),
        (AGO, -1, True, True, 0, (None, False)),  # a wake stands
        (AGO, -61, True, True, 0, (NOW, False)),  # one that is over, and nothing came up: its time begins anew
        (AGO, -1, False, False, 0, (AGO, False)),
        (AGO, -61, False, False, 0, (AGO, False)),
        (None, 5, True, True, 0, (None, False)),
    ],
)
def test_how_it_rests(
    since: int | None, woken: int | None, exists: bool, up: bool, pods: int, expected: tuple[int | None, bool]
) -> None:
    world, revision = serving(scaling=SCALING)
    status = world.service["status"]
    if since is not None:
        status["idleSince"] = rfc3339(NOON + timedelta(seconds=since))
    if woken is not None:
        status[REQUESTED] = rfc3339(NOON + timedelta(seconds=woken))
    world.pods = world.pods[:pods]
    found = rest(world.observed(), revision, EngineState(up, Reason.STARTING, ""), [revision] if exists else [])
    at = None if expected[0] is None else NOON + timedelta(seconds=expected[0])
    assert Rest(found.since, found.hibernates) == Rest(at, expected[1])


def _without_none(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None}
