"""Decisions on the number of replicas: what a replica says of the rule, and what the numbers alone prove."""

from datetime import timedelta
from typing import Any

import pytest

from llmservice_operator.decisions import replica_to_ask
from llmservice_operator.observed import rfc3339
from llmservice_operator.plan import decide
from llmservice_operator.report import status
from tests.unit.operator.builders import NOON, AnEngine, APod
from tests.unit.operator.world import World, serving

Json = dict[str, Any]

AT = (NOON + timedelta(seconds=30)).timestamp() + 0.25
SAID = {"from": 1, "to": 3, "cause": "Rate", "reason": "up to 3: 7.31 requests/s", "at": AT}
TOLD = {
    "fromReplicas": 1,
    "toReplicas": 3,
    "reason": "Rate",
    "message": "up to 3: 7.31 requests/s",
    "at": rfc3339(NOON + timedelta(seconds=30)),
}


def scaled(workers: int, ready: int | None = None, **scaling: Any) -> tuple[World, str]:
    """One replica ran; Ray's autoscaler now wants `workers`, of which `ready` (None: all) are there."""
    bounds = {"minReplicas": 1, "maxReplicas": 4} | scaling
    world = World()
    world.edit(scaling=bounds)
    revision = str(world.step().wanted)
    world.pods = [APod(revision, name="first").ready().at("10.0.0.1").build()]
    world.engine(revision, AnEngine().running().workers(1)).settle()
    assert "scaling" not in world.service["status"]
    return wanting(world, revision, workers, ready), revision


def wanting(world: World, revision: str, workers: int, ready: int | None = None) -> World:
    """Ray's autoscaler wants so many."""
    names = ["first", "second", "third", "fourth", "fifth"][: workers if ready is None else ready]
    world.pods = [APod(revision, name=name).ready().at("10.0.0.1").build() for name in names]
    return world.engine(revision, AnEngine().running().workers(workers))


def told(world: World, said: Any = None) -> Json | None:
    """`status.scaling` after the next reconcile, where the replica answers `said`."""
    world.more["replica"] = None if said is None else {"scaling": said}
    world.step()
    scaling: Json | None = world.service["status"].get("scaling")
    return scaling


def test_what_the_rule_says_of_itself_stands_in_status_and_stays() -> None:
    world, revision = scaled(3, ready=1)
    assert told(world, SAID) == TOLD
    wanting(world, revision, 3).later(hours=1)
    assert told(world) == TOLD
    assert told(world, SAID) == TOLD


@pytest.mark.parametrize(
    ("wanted", "status", "asked"),
    [
        (3, {}, True),
        (1, {}, False),
        (3, {"scaling": TOLD}, False),
        (2, {"scaling": TOLD}, True),
        (1, {"scaling": TOLD}, True),
    ],
)
def test_a_replica_is_asked_only_while_another_number_is_wanted_than_status_tells_of(
    wanted: int, status: Json, asked: bool
) -> None:
    world, revision = scaled(wanted)
    world.service["status"] |= status
    assert replica_to_ask(world.observed(), revision) == ("10.0.0.1:8090" if asked else None)
    assert replica_to_ask(world.observed(), None) is None


def test_a_fixed_count_has_no_decisions() -> None:
    world, revision = serving(replicas=2)
    wanting(world, revision, 4)
    assert replica_to_ask(world.observed(), revision) is None
    assert told(world, SAID) is None


def test_a_replica_that_has_just_started_is_asked_how_long_it_took() -> None:
    world, revision = serving(replicas=1)
    world.pods = [APod(revision).came_up().at("10.0.0.7").build()]
    assert replica_to_ask(world.observed(), revision) == "10.0.0.7:8090"
    world.more["replica"] = {"start": {"load": 30.0, "warm_up": 2.4}}
    world.settle()
    assert world.service["status"]["coldStartSeconds"]["warmUp"] == 2
    assert replica_to_ask(world.observed(), revision) is None


@pytest.mark.parametrize(
    ("scaling", "steps", "expected"),
    [
        ({"minReplicas": 0}, [0], (1, 0, "Idle")),
        ({"minReplicas": 0}, [0, 1], (0, 1, "Woken")),
        ({"minReplicas": 2}, [2], (1, 2, "Bounds")),
        ({"minReplicas": 1, "maxReplicas": 1}, [3], None),
        ({"minReplicas": 1}, [3], None),
        ({"minReplicas": 1}, [0], None),
    ],
)
def test_what_the_numbers_alone_prove(scaling: Json, steps: list[int], expected: tuple[int, int, str] | None) -> None:
    world, revision = scaled(1)
    world.edit(scaling={"maxReplicas": 4} | scaling)
    for workers in steps:
        found = told(wanting(world, revision, workers))
    assert (found and (found["fromReplicas"], found["toReplicas"], found["reason"])) == expected


def test_the_last_replica_to_go_is_told_of_also_where_it_is_not_ready_before_it_has_gone() -> None:
    world, revision = scaled(1)
    world.edit(scaling={"minReplicas": 0, "maxReplicas": 4})
    world.pods = [APod(revision, name="first").build()]
    leaving = told(world.engine(revision, AnEngine().running().workers(0)))
    world.pods = []
    gone = told(world)
    assert leaving == gone
    assert gone is not None
    assert (gone["fromReplicas"], gone["toReplicas"], gone["reason"]) == (1, 0, "Idle")


def test_fewer_by_a_smaller_most_is_told_as_that() -> None:
    world, revision = scaled(3)
    assert told(world, SAID) == TOLD
    world.edit(scaling={"minReplicas": 1, "maxReplicas": 2}).later(minutes=5)
    found = told(wanting(world, revision, 2))
    assert found is not None
    assert (found["toReplicas"], found["reason"], found["message"]) == (2, "Bounds", "1 to 2 are kept")


def test_a_wake_is_told_as_one_also_where_it_raises_the_bound() -> None:
    world, revision = scaled(1)
    world.edit(scaling={"minReplicas": 0, "maxReplicas": 4, "targetQueueDepth": 4})
    assert told(wanting(world, revision, 0)) is not None
    moment = rfc3339(world.later(hours=1).now)
    world.service["status"] |= {"wakeRequestedAt": moment, "wakes": {"g": {"requestedAt": moment, "requests": 9}}}
    found = [told(wanting(world, revision, workers, ready=0)) or {} for workers in (1, 3)]
    assert [(each["fromReplicas"], each["toReplicas"], each["reason"]) for each in found] == [
        (0, 1, "Woken"),
        (1, 3, "Woken"),
    ]


def test_an_older_word_of_the_rule_takes_nothing_back() -> None:
    world, revision = scaled(1)
    world.later(minutes=10).edit(scaling={"minReplicas": 2, "maxReplicas": 4})
    bounds = told(wanting(world, revision, 2))
    assert told(wanting(world, revision, 3), SAID) == bounds


@pytest.mark.parametrize(
    "said",
    [
        "x",
        [SAID],
        SAID | {"cause": "x" * 99},
        SAID | {"cause": ["Rate"]},
        SAID | {"from": True},
        SAID | {"to": -1},
        SAID | {"to": 10**9},
        SAID | {"at": 1e300},
        SAID | {"at": -6e10},
        SAID | {"at": AT + 3600},
        SAID | {"at": float("nan")},
        SAID | {"at": "now"},
        {key: value for key, value in SAID.items() if key != "at"},
    ],
)
def test_nonsense_of_a_replica_is_not_told(said: Any) -> None:
    assert told(scaled(3, ready=1)[0], said) is None


def test_a_long_message_is_cut() -> None:
    found = told(scaled(3, ready=1)[0], SAID | {"reason": "x" * 10_000})
    assert found is not None
    assert len(found["message"]) == 256


def test_a_status_with_a_decision_is_stable() -> None:
    world, _ = scaled(3, ready=1)
    told(world, SAID)
    observed = world.later(minutes=3).observed()
    assert status(observed, decide(observed)) == world.service["status"]
