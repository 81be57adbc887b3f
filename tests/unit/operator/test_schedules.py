"""Floors by the clock: which one holds at an instant, and when the next one begins or ends."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.scaling import Schedule
from llmservice_operator.reconcile import again_after
from llmservice_operator.resources.worker_args import bounds
from llmservice_operator.schedules import floor, in_force, next_edge
from tests.unit.operator.world import World, serving

Json = dict[str, Any]
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri"]
EVERY = [*WEEKDAYS, "Sat", "Sun"]


def a_schedule(days: list[str], start: str, end: str, least: int = 2, timezone: str = "Europe/Berlin") -> Json:
    return {"days": days, "start": start, "end": end, "timezone": timezone, "minReplicas": least}


OFFICE = a_schedule(WEEKDAYS, "08:00", "18:00", 3)
NIGHT = a_schedule(["Fri"], "22:00", "06:00")
SUNDAYS = a_schedule(["Sun"], "02:30", "04:00")
"""The clock in Berlin skips 02:00 to 03:00 on 29 March 2026, and has it twice on 25 October 2026."""
ALWAYS = a_schedule(EVERY, "00:00", "00:00")
FAR = a_schedule(["Mon"], "00:00", "01:00", timezone="Pacific/Kiritimati")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "now", "expected", "edge"),
    [
        (OFFICE, "2026-01-30T06:59:59", 0, "2026-01-30T07:00"),  # a Friday in winter
        (OFFICE, "2026-01-30T07:00:00", 3, "2026-01-30T17:00"),
        (OFFICE, "2026-01-30T16:59:59", 3, "2026-01-30T17:00"),
        (OFFICE, "2026-01-30T17:00:00", 0, "2026-02-02T07:00"),
        (OFFICE, "2026-01-31T12:00:00", 0, "2026-02-02T07:00"),
        (OFFICE, "2026-07-03T06:00:00", 3, "2026-07-03T16:00"),  # in summer
        (NIGHT, "2026-01-30T20:59:59", 0, "2026-01-30T21:00"),
        (NIGHT, "2026-01-30T23:30:00", 2, "2026-01-31T05:00"),
        (NIGHT, "2026-01-31T04:59:59", 2, "2026-01-31T05:00"),
        (NIGHT, "2026-01-31T05:00:00", 0, "2026-02-06T21:00"),
        (ALWAYS, "2026-03-29T01:30:00", 2, "2026-03-29T22:00"),
        (ALWAYS, "2026-03-29T22:00:00", 2, "2026-03-30T22:00"),
        (SUNDAYS, "2026-03-29T01:29:59", 0, "2026-03-29T01:30"),
        (SUNDAYS, "2026-03-29T01:30:00", 2, "2026-03-29T02:00"),
        (SUNDAYS, "2026-10-25T00:29:59", 0, "2026-10-25T00:30"),
        (SUNDAYS, "2026-10-25T00:30:00", 2, "2026-10-25T03:00"),
        (SUNDAYS, "2026-10-25T01:30:00", 2, "2026-10-25T03:00"),
        (FAR, "2026-02-01T09:59:59", 0, "2026-02-01T10:00"),  # Monday there, Sunday here
        (FAR, "2026-02-01T10:00:00", 2, "2026-02-01T11:00"),
    ],
)
def test_the_floor_of_an_instant_and_the_next_edge(schedule: Json, now: str, expected: int, edge: str) -> None:
    found = [Schedule.model_validate(schedule)]
    assert (floor(found, at(now)), next_edge(found, at(now))) == (expected, at(edge))


def test_without_schedules_there_is_no_floor_and_no_edge() -> None:
    assert (floor([], at("2026-01-30T12:00:00")), next_edge([], at("2026-01-30T12:00:00"))) == (0, None)


def test_one_takes_over_where_the_other_ends() -> None:
    found = [Schedule.model_validate(OFFICE), Schedule.model_validate(a_schedule(WEEKDAYS, "18:00", "22:00", 1))]
    assert [floor(found, at(f"2026-01-30T{hour}:00:00")) for hour in ("16", "17", "21")] == [3, 1, 0]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"minReplicas": 0, "maxReplicas": 9}, (3, 9)),
        ({"minReplicas": 5, "maxReplicas": 9}, (5, 9)),
        ({"minReplicas": 0, "maxReplicas": 2}, (2, 2)),
    ],
)
def test_a_floor_raises_the_lower_bound_and_never_over_the_upper_one(scaling: Json, expected: tuple[int, int]) -> None:
    spec = LLMServiceSpec.model_validate(
        {"model": {"source": "hf://a/b"}, "scaling": {**scaling, "schedules": [OFFICE]}}
    )
    assert bounds(in_force(spec, at("2026-01-30T12:00:00"))) == expected
    assert in_force(spec, at("2026-01-31T12:00:00")) == spec


def test_a_spec_without_autoscaling_stays() -> None:
    spec = LLMServiceSpec.model_validate({"model": {"source": "hf://a/b"}, "replicas": 2})
    assert in_force(spec, at("2026-01-30T12:00:00")) is spec


@pytest.mark.parametrize("name", ["Europe/Berln", "Europe", "No/Such/Zone"])
def test_an_unknown_time_zone_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(ValueError, match=rf"timezone\n.*{name} is no time zone: use an IANA name"):
        Schedule.model_validate(a_schedule(WEEKDAYS, "08:00", "18:00", timezone=name))


def least(world: World) -> int:
    """The lower bound that Ray Serve is told."""
    (ref,) = [ref for ref in world.children if ref.plural == "rayservices"]
    serve = json.loads(world.children[ref]["spec"]["serveConfigV2"])
    return int(serve["applications"][0]["deployments"][0]["autoscaling_config"]["min_replicas"])


def test_an_edge_changes_bounds_by_time_alone_and_makes_no_revision() -> None:
    noon_to_one = a_schedule(["Sat"], "12:00", "13:00", 2, "UTC")
    scaling = {"minReplicas": 1, "maxReplicas": 3, "schedules": [noon_to_one]}
    world, revision = serving(scaling=scaling)
    plan = world.settle()
    assert (least(world), world.service["status"]["desiredReplicas"]) == (2, 2)
    assert again_after(world.observed(), plan) == 3600
    plan = world.later(hours=1).settle()
    assert (least(world), world.revisions()) == (1, [revision])
    assert again_after(world.observed(), plan) == timedelta(days=7, hours=-1).total_seconds()
