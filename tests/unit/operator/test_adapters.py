"""What replicas say of adapters, merged; who is asked, and when nobody is."""

from typing import Any

import pytest

from llmservice_api.llmservice import Adapter
from llmservice_operator.adapters import Settled, is_settled, next_look, statuses, to_ask
from llmservice_operator.observed import Replicas
from llmservice_operator.probe_targets import probe_targets
from tests.unit.operator.builders import APod, AService
from tests.unit.operator.world import World, serving

Json = dict[str, Any]
A, B = Adapter(name="a", source="pvc://c/a"), Adapter(name="b", source="s3://bucket/b")
SPEC = [{"name": "a", "source": "pvc://c/a"}, {"name": "b", "source": "pvc://c/b"}]


def says(state: str, adapter: Adapter = A, **more: Any) -> Json:
    return {"name": adapter.name, "source": adapter.source, "state": state, **more}


def replicas(*answers: Any, settled: str = "") -> Replicas:
    return Replicas({f"u{number}": answer for number, answer in enumerate(answers)}, frozenset(settled.split()))


CORRUPT = says("Failed", reason="Corrupt", message="cut short")
MERGED: list[tuple[Replicas, list[Json], Json]] = [
    (replicas(), [], {"state": "Loading"}),
    (replicas(None), [], {"state": "Loading"}),
    (replicas(None), [{"name": "a", "state": "Loaded"}], {"state": "Loaded"}),
    (replicas(), [{"name": "a", "state": "Failed", "reason": "X"}], {"state": "Failed", "reason": "X"}),
    (replicas([says("Loaded")]), [], {"state": "Loaded"}),
    (replicas([says("Loaded")], None), [], {"state": "Loaded"}),
    (replicas([says("Loaded")], [says("Loading")]), [{"name": "a", "state": "Loaded"}], {"state": "Loading"}),
    (replicas([says("Loading")], [CORRUPT]), [], {"state": "Failed", "reason": "Corrupt", "message": "cut short"}),
    (replicas([]), [{"name": "a", "state": "Loaded"}], {"state": "Loading"}),
    (replicas([says("Loaded") | {"source": "pvc://c/before"}]), [], {"state": "Loading"}),
    (replicas([says("Sideways")]), [], {"state": "Loading"}),
    (replicas([{"state": "Loaded"}, {"name": 7}]), [], {"state": "Loading"}),
    (replicas([says("Failed", reason=7, message=["x"])]), [], {"state": "Failed"}),
    (replicas(settled="u0"), [{"name": "a", "state": "Loading"}], {"state": "Loaded"}),
    (replicas([says("Loading")], settled="u7"), [], {"state": "Loading"}),
]


@pytest.mark.parametrize(("said", "before", "merged"), MERGED)
def test_statuses(said: Replicas, before: list[Json], merged: Json) -> None:
    assert statuses([A], said, before) == [{"name": "a", **merged}]


def test_long_texts_are_cut() -> None:
    (found,) = statuses([A], replicas([says("Failed", message="x" * 9999)]), [])
    assert len(found["message"]) == 512


@pytest.mark.parametrize(
    ("answer", "settled"),
    [
        (None, False),
        ([], False),
        ([says("Loaded"), says("Loaded", B)], True),
        ([says("Loaded", B), says("Loaded")], False),
        ([says("Loaded"), says("Loading", B)], False),
        ([says("Loaded"), says("Loaded", B) | {"source": "x"}], False),
        ([says("Loaded")], False),
    ],
)
def test_a_replica_is_settled_when_it_has_loaded_just_what_is_wanted(answer: Any, settled: bool) -> None:
    assert is_settled([A, B], answer) is settled


@pytest.mark.parametrize(
    ("said", "left", "seconds"),
    [
        (replicas(), [], None),
        (replicas([says("Loaded")]), ["u0"], None),
        (replicas(), ["u0"], 2),
        (replicas(None), ["u0"], 2),
        (replicas([says("Loading")]), ["u0"], 2),
        (replicas([CORRUPT]), ["u0"], 30),
        (replicas([CORRUPT], [says("Loading")]), ["u0", "u1"], 2),
        (replicas([says("Loaded")], None), ["u0", "u1"], 10),
        (replicas(None, settled="u7"), ["u0"], 10),
        (replicas([CORRUPT], None), ["u0", "u1"], 10),
    ],
)
def test_when_replicas_are_asked_again(said: Replicas, left: list[str], seconds: float | None) -> None:
    assert next_look([A], said, left) == seconds


def a_pod(uid: str, ip: str | None = "10.0.0.1", kind: str = "worker") -> Json:
    pod = APod("m-1", kind).ready().build()
    pod["metadata"]["uid"] = uid
    return pod | {"status": pod["status"] | ({"podIP": ip} if ip else {})}


def test_ready_workers_with_an_address_that_have_not_settled_are_asked() -> None:
    unready = a_pod("d") | {"status": {"podIP": "10.0.0.4"}}
    pods = [a_pod("a"), a_pod("b", "10.0.0.2"), a_pod("c", None), unready, a_pod("e", kind="head")]
    assert to_ask(pods, {"b"}) == {"a": "10.0.0.1:8090"}


def test_what_is_settled_counts_for_one_generation() -> None:
    settled, key = Settled(), ("team-a", "m")
    settled.note(key, 1, frozenset({"u"}))
    assert settled.of(key, 1) == frozenset({"u"})
    assert settled.of(key, 2) == settled.of(("x", "m"), 1) == frozenset()
    settled.note(key, 2, frozenset())
    assert settled.known == {}


def asked(world: World) -> list[str]:
    return list(probe_targets(world.observed(), world.step()).adapters.values())


def test_replicas_are_asked_only_for_a_spec_that_they_know_of() -> None:
    world, _ = serving()
    world.pods[0]["status"]["podIP"] = "10.0.0.1"
    assert asked(world) == []
    world.edit(adapters=SPEC[:1])
    assert asked(world) == []  # a new revision: the old one has no room for adapters
    new = str(world.settle().wanted)
    world.up(new).settle()
    world.pods[-1]["status"]["podIP"] = "10.0.0.2"
    assert asked(world) == ["10.0.0.2:8090"]
    world.edit(paused=True)
    assert asked(world) == []


def test_the_first_adapter_makes_a_revision_and_no_later_one_does() -> None:
    world = World(AService().build())
    none = str(world.step().wanted)
    first = str(world.edit(adapters=SPEC[:1]).step().wanted)
    assert none != first
    for adapters in (SPEC, [SPEC[1]], [{**SPEC[0], "source": "pvc://c/other"}]):
        assert world.edit(adapters=adapters).step().wanted == first
    assert world.edit(dynamicAdapters={"source": "pvc://c/all"}).step().wanted == first
    assert world.edit(adapters=[{"name": "x", "source": "pvc://elsewhere/x"}]).step().wanted != first
    assert world.edit(adapters=None, dynamicAdapters=None).step().wanted == none


def test_a_broken_adapter_is_said_and_the_service_stays_ready() -> None:
    world, _ = serving(adapters=SPEC)
    assert world.condition("AdaptersReady") == ("False", "Loading", "not loaded yet: a, b")
    good, bad = (
        says("Loaded"),
        says("Failed", Adapter.model_validate(SPEC[1]), reason="Corrupt", message="is cut short"),
    )
    world.more["adapter_replicas"] = replicas([good, bad])
    world.step()
    assert world.condition("AdaptersReady") == ("False", "AdapterFailed", "b: is cut short")
    assert [each["state"] for each in world.service["status"]["adapters"]] == ["Loaded", "Failed"]
    assert world.condition("Ready")[0] == "True"
    assert world.condition("Stalled")[0] == world.condition("Reconciling")[0] == ""
    world.more["adapter_replicas"] = replicas([good, bad | {"state": "Loaded"}])
    world.step()
    assert world.condition("AdaptersReady") == ("True", "AdaptersLoaded", "2 loaded")
    world.more["adapter_replicas"] = Replicas()  # the service sleeps
    world.step()
    assert world.condition("AdaptersReady")[:2] == ("True", "AdaptersLoaded")
    world.edit(adapters=None).settle()
    assert (world.condition("AdaptersReady")[0], "adapters" in world.service["status"]) == ("", False)


def test_a_claim_that_is_missing_leaves_what_serves_and_is_said() -> None:
    world, revision = serving()
    world.more["missing_adapter_claim"] = "c"
    world.edit(adapters=SPEC).settle()
    status, reason, message = world.condition("AdaptersReady")
    assert (status, reason) == ("False", "ClaimMissing")
    assert "PersistentVolumeClaim c, which namespace team-a does not have" in message
    assert (world.condition("Ready")[0], world.revisions()) == ("True", [revision])


def test_a_claim_that_is_missing_from_the_start_is_why_nothing_serves() -> None:
    world = World(AService().spec(dynamicAdapters={"source": "pvc://c"}).build())
    world.more["missing_adapter_claim"] = "c"
    world.settle()
    assert world.condition("Ready")[:2] == ("False", "ClaimMissing")
    assert world.revisions() == []
