"""A model that is fetched: what pods say of it, and what status and conditions make of that."""

from typing import Any

import pytest

from llmservice_api.reasons import Reason
from llmservice_operator.conditions import TEMPORARY
from llmservice_operator.fetching import FAILURES, Fetch, fetch_of, told, worth_telling
from llmservice_operator.plan import decide
from llmservice_operator.probe_targets import probe_targets
from llmservice_worker.fetch import failure
from tests.unit.operator.builders import AnEngine, APod, AService
from tests.unit.operator.test_reconcile import Bench, bench
from tests.unit.operator.world import World

__all__ = ["bench"]

Json = dict[str, Any]
NAME = "m-abc123"
REFUSED = {"phase": "Failed", "reason": "CredentialsRefused", "message": "s3://b/m: access refused; check the Secret"}
HALF = {"phase": "Downloading", "percent": 50, "bytes": 5, "totalBytes": 10, "etaSeconds": 3}
WAITING = {"phase": "Waiting"}

PODS: dict[str, tuple[list[APod], Fetch | None]] = {
    "mounted": ([APod(NAME).ready()], None),
    "image is pulled": ([APod(NAME).waiting("PodInitializing", init=True)], None),
    "begun, no address": ([APod(NAME).fetching(ip="")], Fetch(True)),
    "under way": ([APod(NAME).fetching()], Fetch(True, ("10.0.0.7:8091",))),
    "two pods": (
        [APod(NAME, name="a").fetching("10.0.0.1"), APod(NAME, name="b").fetching("10.0.0.2")],
        Fetch(True, ("10.0.0.1:8091", "10.0.0.2:8091")),
    ),
    "ended without a word": ([APod(NAME).fetch_failed()], Fetch()),
    "there": ([APod(NAME).fetched()], Fetch(fetched={"digest": "sha256:ab", "bytes": 7})),
    "going": ([APod(NAME).fetching().terminating()], None),
}


@pytest.mark.parametrize(("pods", "expected"), PODS.values(), ids=PODS)
def test_what_pods_say(pods: list[APod], expected: Fetch | None) -> None:
    assert fetch_of([pod.build() for pod in pods]) == expected


TOLD: dict[str, tuple[list[Json], Json | None]] = {
    "nobody answered": ([], None),
    "who downloads, not who waits": ([WAITING, HALF, WAITING], HALF),
    "a failure, not who waits": ([WAITING, REFUSED], REFUSED),
    "who downloads, not who failed": ([REFUSED, HALF], HALF),
    "a reason that is none": ([{"phase": "Failed", "reason": "Serving", "message": "x"}], {"phase": "Failed"}),
    "the furthest": ([HALF | {"percent": 10}, HALF], HALF),
    "only what status has": ([{"phase": "Waiting", "percent": "7", "secret": "x"}], WAITING),
}


@pytest.mark.parametrize(("answers", "expected"), TOLD.values(), ids=TOLD)
def test_the_answer_that_says_most(answers: list[Json], expected: Json | None) -> None:
    assert told(answers) == expected


@pytest.mark.parametrize(
    ("now", "before", "written"),
    [
        (HALF, None, True),
        (HALF | {"bytes": 6, "etaSeconds": 2}, HALF, False),
        (HALF | {"percent": 51}, HALF, True),
        ({"phase": "Verifying"}, HALF, True),
    ],
)
def test_progress_is_written_for_a_percent_or_a_phase(now: Json, before: Json | None, written: bool) -> None:
    assert worth_telling(now, before) == (now if written else before)


def begun(*pods: APod, **more: Any) -> World:
    """A world whose first revision has these pods; their revision is put in."""
    world = World(more=more)
    revision = str(world.step().wanted)
    world.engine(revision, AnEngine())
    for pod in pods:
        obj = pod.build()
        obj["metadata"]["labels"]["llmservice.io/revision"] = revision
        world.pods.append(obj)
    return world


def test_a_download_shows_how_far_it_is_and_is_no_trouble() -> None:
    world = begun(APod(NAME).fetching(), download=HALF)
    world.settle()
    assert world.service["status"]["progress"] == HALF
    for kind in ("ModelReady", "EngineReady", "Ready"):
        assert world.condition(kind)[:2] == ("False", "Downloading")
    assert world.condition("Reconciling")[0] == "True"
    assert world.condition("Stalled") == ("", "", "")


@pytest.mark.parametrize("reason", sorted(FAILURES))
def test_each_failure_is_said_by_model_ready_and_stalls(reason: Reason) -> None:
    said = {"phase": "Failed", "reason": str(reason), "message": f"what to do about {reason}"}
    world = begun(APod(NAME).fetching(), download=said)
    world.settle()
    for kind in ("ModelReady", "Ready", "Progressing"):
        assert world.condition(kind)[:2] == ("False", str(reason))
    assert world.condition("ModelReady")[2] == said["message"]
    assert world.condition("Stalled")[:2] == ("True", str(reason))
    assert "progress" not in world.service["status"]
    assert reason not in TEMPORARY


def test_a_failure_goes_when_the_model_comes() -> None:
    world = begun(APod(NAME).fetching(), download=REFUSED)
    world.settle()
    world.more["download"] = HALF
    world.settle()
    assert world.condition("ModelReady")[1] == "Downloading"
    assert world.condition("Stalled") == ("", "", "")


@pytest.mark.parametrize("reason", failure.Reason)
def test_each_failure_of_the_worker_is_one_of_the_api(reason: failure.Reason) -> None:
    assert Reason(reason.value) in FAILURES
    said = {"phase": "Failed", "reason": reason.value, "message": "x"}
    assert told([said]) == said


def test_what_was_fetched_is_kept_when_no_pod_is_left_to_say_it() -> None:
    world = begun(APod(NAME).fetched("sha256:cd", 11))
    world.step()
    assert world.service["status"]["progress"] == {"phase": "Starting"}
    (pod,) = world.pods
    revision = pod["metadata"]["labels"]["llmservice.io/revision"]
    world.up(revision).settle()
    assert world.condition("Ready")[0] == "True"
    assert "progress" not in world.service["status"]
    world.pods.clear()
    world.settle()
    assert world.service["status"]["model"] == {"name": "m", "digest": "sha256:cd", "bytes": 11}


def test_another_source_forgets_what_was_fetched() -> None:
    world = begun(APod(NAME).fetched())
    world.step()
    world.edit(model={"source": "s3://bucket/other"}).step()
    assert world.service["status"]["model"] == {"name": "m"}


def test_pods_that_fetch_are_asked_and_a_steady_service_is_not() -> None:
    world = begun(*(APod(NAME, name=f"p{number}").fetching(f"10.0.0.{number}") for number in range(9)))
    observed = world.observed()
    assert len(probe_targets(observed, decide(observed)).downloads) == 4
    (revision,) = world.revisions()
    world.up(revision).settle()
    observed = world.observed()
    assert probe_targets(observed, decide(observed)).downloads == ()


async def test_a_download_is_asked_again_soon_and_written_once_for_a_percent(bench: Bench) -> None:
    await bench.reconcile()
    (revision,) = [ref.name for ref in bench.cluster.objects if ref.plural == "rayservices"]
    bench.seen("pods", APod(revision).fetching().build())
    bench.prober.progress_answer = dict(HALF)
    assert await bench.settle() == 2.5
    assert bench.status["progress"] == HALF
    writes = len(bench.cluster.writes)
    bench.prober.progress_answer = HALF | {"bytes": 6, "etaSeconds": 1}
    assert [await bench.reconcile() for _ in range(3)] == [2.5] * 3
    assert len(bench.cluster.writes) == writes
    bench.prober.progress_answer = HALF | {"percent": 51}
    await bench.reconcile()
    assert len(bench.cluster.writes) == writes + 1
    assert bench.prober.asked == ["progress at 10.0.0.7:8091"] * 6


async def test_a_head_that_prefetches_says_how_far_it_is(bench: Bench) -> None:
    claim = {"metadata": {"name": "cache", "namespace": "team-a", "uid": "c"}}
    bench.cluster.put("persistentvolumeclaims", claim)
    bench.seen("llmservices", AService().model(cacheClaim="cache", prefetch=True).build())
    await bench.reconcile()
    (ref,) = [ref for ref in bench.cluster.objects if ref.plural == "rayservices"]
    bench.prober.progress_answer = {"phase": "Downloading", "percent": 42}
    bench.seen("pods", APod(ref.name, kind="head").fetching().build())
    await bench.reconcile()
    assert (bench.condition("ModelReady"), bench.status["progress"]["percent"]) == (("False", "Downloading"), 42)


async def test_a_cache_claim_that_is_missing_is_said(bench: Bench) -> None:
    bench.seen("llmservices", AService().model(cacheClaim="cache").build())
    assert await bench.settle() == 30.0
    assert bench.condition("ModelReady") == ("False", "ClaimMissing")
    bench.cluster.put("persistentvolumeclaims", {"metadata": {"name": "cache", "namespace": "team-a", "uid": "c"}})
    await bench.reconcile()
    assert bench.condition("ModelReady") == ("False", "Loading")
