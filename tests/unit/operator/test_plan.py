"""The decision over a service's life: what is observed → what is applied, deleted and said.

Each test walks a small world from one reconcile to the next; nothing in it talks to an API server.
"""

from dataclasses import replace
from typing import Any

import pytest

from llmservice_operator.observed import Question
from llmservice_operator.plan import decide
from llmservice_operator.probe_targets import ProbeTargets, probe_targets
from llmservice_operator.store import Ref
from tests.unit.operator.builders import AnEngine, APod, APool, AService
from tests.unit.operator.world import ANSWERS, SILENT, World, kinds, serving

OTHER_MODEL = {"source": "hf://org/other", "revision": "abc"}
THIRD_MODEL = {"source": "hf://org/third", "revision": "abc"}


def test_fresh_makes_every_child_once() -> None:
    world = World()
    plan = world.step()
    assert kinds(plan) == ["networkpolicies", "poddisruptionbudgets", "rayservices", "services"]
    assert plan.wanted is not None
    assert plan.wanted.startswith("m-")
    assert world.names("rayservices") == world.names("services") == [plan.wanted]
    assert world.step().apply == ()


def test_an_engine_that_is_up_is_asked_for_a_token_before_it_becomes_active() -> None:
    world = World(engine_probe=SILENT)
    revision = str(world.step().wanted)
    assert probe_targets(world.observed(), decide(world.observed())) == ProbeTargets(Question("m"))
    world.up(revision)
    targets = probe_targets(world.observed(), decide(world.observed()))
    by_way = Question("m", patience_s=2)
    assert targets == ProbeTargets(Question("m"), "10.96.0.4:8000", by_way, is_same_engine=True)
    assert (targets.route_after(SILENT), targets.route_after(ANSWERS)) == (None, by_way)
    assert world.settle().rollout.active is None  # type: ignore[union-attr]
    world.engine_probe = replace(SILENT, error="")
    assert world.settle().rollout.active == revision  # type: ignore[union-attr]


def test_the_first_token_comes_through_the_gateway_as_well_so_two_statuses_are_enough() -> None:
    world = World()
    revision = str(world.step().wanted)
    assert world.service["status"]["address"] == "10.96.0.4:8000"
    assert world.condition("RouteReady")[:2] == ("False", "RoutePending")
    world.up(revision).step()
    assert world.condition("Ready")[0] == "True"


def test_what_the_gateway_does_not_answer_yet_is_asked_again_once_status_says_that_it_is_up() -> None:
    world = World(route_probe=SILENT)
    revision = str(world.step().wanted)
    world.up(revision).step()
    assert world.service["status"]["revision"] == {"active": revision}
    assert world.condition("Ready")[:2] == ("False", "RoutePending")
    assert probe_targets(world.observed(), decide(world.observed())).route == Question("m")
    world.route_probe = ANSWERS
    world.step()
    assert world.condition("Ready")[0] == "True"


@pytest.mark.parametrize(
    "spec", [{"hold": {"maxRequests": 0}}, {"scaling": {"minReplicas": 0}}], ids=["held", "asleep"]
)
def test_the_gateway_knows_what_comes_up_only_where_it_holds_requests_and_wakes_nobody(spec: dict[str, Any]) -> None:
    world = World(AService().spec(**spec).build())
    revision = str(world.settle().wanted)
    assert "address" not in world.service["status"]
    world.up(revision).step()
    assert world.service["status"]["address"] == "10.96.0.4:8000"
    world.step()
    assert world.condition("Ready")[0] == "True"


def test_a_steady_service_is_neither_probed_nor_written() -> None:
    world, _ = serving()
    observed = world.observed()
    plan = decide(observed)
    assert probe_targets(observed, plan) == ProbeTargets(Question("m"))
    assert (plan.apply, plan.delete) == ((), ())


def test_an_edit_brings_a_revision_up_beside_the_active_one() -> None:
    world, old = serving()
    new = str(world.edit(model=OTHER_MODEL).step().wanted)
    assert new != old
    assert world.revisions() == sorted([old, new])
    assert world.settle().rollout.active == old  # type: ignore[union-attr]


def test_when_the_new_one_answers_the_route_moves_and_the_old_goes_after_its_drain() -> None:
    world, old = serving()
    new = str(world.edit(model=OTHER_MODEL).step().wanted)
    world.up(new).settle()
    assert world.service["status"]["revision"] == {"active": new, "drainingSince": "2026-01-31T12:00:00Z"}
    world.later(minutes=4, seconds=59).settle()
    assert world.revisions() == sorted([old, new])
    world.later(seconds=1).settle()
    assert world.revisions() == world.names("services") == [new]
    assert world.service["status"]["revision"] == {"active": new}


def test_an_edit_in_mid_rollout_drops_the_pending_revision_not_the_active_one() -> None:
    world, old = serving()
    dropped = str(world.edit(model=OTHER_MODEL).step().wanted)
    new = str(world.edit(model=THIRD_MODEL).settle().wanted)
    assert dropped not in world.revisions()
    assert dropped not in world.names("services")
    assert world.revisions() == sorted([old, new])


def test_a_revert_in_mid_rollout_keeps_the_active_revision() -> None:
    world, old = serving()
    before = world.service["spec"]["model"]
    given_up = str(world.edit(model=OTHER_MODEL).step().wanted)
    plan = world.edit(model=before).settle()
    assert plan.rollout is not None
    assert (plan.rollout.active, plan.rollout.pending) == (old, None)
    world.later(minutes=5).settle()
    assert given_up not in world.revisions()
    assert world.condition("Ready")[0] == "True"


def test_a_failed_new_revision_leaves_the_old_one_serving() -> None:
    world, old = serving()
    new = str(world.edit(model=OTHER_MODEL).step().wanted)
    world.engine(new, AnEngine().application("DEPLOY_FAILED", "llmservice: cause: CUDA out of memory")).settle()
    assert world.service["status"]["revision"]["active"] == old
    assert world.condition("Ready")[0] == "True"
    assert world.condition("Progressing")[:2] == ("False", "EngineFailed")


def test_a_revision_that_is_late_is_given_up_with_its_reason_until_the_next_edit() -> None:
    world, old = serving()
    new = str(world.edit(model=OTHER_MODEL).step().wanted)
    world.pods.append(APod(new).build())
    world.engine(new, AnEngine().application("DEPLOYING"))
    world.later(minutes=30).step()
    assert (world.revisions(), world.names("services")) == ([old], [old])
    said = world.condition("Progressing")
    assert said[:2] == ("False", "ProgressDeadlineExceeded")
    assert f"revision {new} was not up after spec.rollout.progressDeadline and is given up until the next" in said[2]
    assert "Ray Serve: DEPLOYING" in said[2]
    assert world.later(hours=9).step().apply == ()
    assert world.condition("Progressing") == said
    assert (world.condition("Ready")[0], world.condition("Stalled")[1]) == ("True", "ProgressDeadlineExceeded")
    world.edit(replicas=2).step()
    assert world.revisions() == sorted([old, new])
    assert world.condition("Progressing")[:2] == ("True", "RollingOut")


UNCHANGED: dict[str, dict[str, Any]] = {
    "kubectl scale": {"replicas": 3},
    "autoscaling": {"scaling": {"minReplicas": 0, "maxReplicas": 4, "targetQueueDepth": 8}},
    "access": {"access": {"mode": "Open"}},
    "drain": {"rollout": {"drain": "1m"}},
    "hold": {"hold": {"maxRequests": 7}},
    "own host": {"endpoint": {"host": "m.example.com"}},
    "pools that choose the same": {"placement": {"pools": ["cpu"]}},
}


@pytest.mark.parametrize("fields", UNCHANGED.values(), ids=UNCHANGED)
def test_no_new_revision_for(fields: dict[str, Any]) -> None:
    world, revision = serving()
    assert world.edit(**fields).settle().wanted == revision
    assert world.revisions() == [revision]


CHANGED: dict[str, dict[str, Any]] = {
    "model": {"model": OTHER_MODEL},
    "alias": {"model": {"source": "hf://org/model", "revision": "abc", "aliases": ["gpt"]}},
    "context": {"engine": {"maxModelLen": 4096}},
    "engine argument": {"engine": {"args": {"maxNumSeqs": 8}}},
}


@pytest.mark.parametrize("fields", CHANGED.values(), ids=CHANGED)
def test_a_new_revision_for(fields: dict[str, Any]) -> None:
    world, revision = serving()
    assert world.edit(**fields).step().wanted != revision


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({"replicas": 3}, {"rayservices", "poddisruptionbudgets"}),
        ({"scaling": {"minReplicas": 1, "maxReplicas": 5}}, {"rayservices"}),
    ],
)
def test_new_bounds_reach_the_running_revision(fields: dict[str, Any], changed: set[str]) -> None:
    world, revision = serving()
    plan = world.edit(**fields).step()
    assert {plural for plural, _ in plan.apply} == changed
    assert [obj["metadata"]["name"] for plural, obj in plan.apply if plural == "rayservices"] == [revision]


def test_paused_changes_nothing_and_goes_on_serving() -> None:
    world, old = serving()
    plan = world.edit(paused=True, model=OTHER_MODEL).settle()
    assert (plan.apply, plan.delete, world.revisions()) == ((), (), [old])
    assert world.condition("Accepted")[:2] == ("True", "Paused")
    assert world.service["status"]["address"]
    world.edit(paused=None).settle()
    assert len(world.revisions()) == 2


def test_paused_does_not_recreate_either() -> None:
    world, old = serving(rollout={"strategy": "Recreate"})
    address = world.service["status"]["address"]
    world.edit(paused=True, model=OTHER_MODEL).settle()
    assert world.service["status"].get("address") == address
    assert world.service["status"]["revision"]["active"] == old


def test_recreate_lets_the_old_one_go_first() -> None:
    world, old = serving(rollout={"strategy": "Recreate"})
    plan = world.edit(model=OTHER_MODEL).step()
    assert Ref("rayservices", "team-a", old) in plan.delete
    assert "rayservices" not in kinds(plan)
    assert world.revisions() == []
    new = str(world.settle().wanted)
    assert world.revisions() == world.names("services") == [new]
    assert world.up(new).settle().rollout.active == new  # type: ignore[union-attr]


def test_a_bad_spec_leaves_the_old_revision_and_the_good_one_restores_what_was() -> None:
    world, old = serving()
    world.edit(endpoint={"host": "llm.example.com"}).settle()
    assert world.revisions() == [old]
    assert world.service["status"]["address"]
    assert world.condition("Accepted")[1] == "HostReserved"
    world.edit(endpoint=None).settle()
    assert world.revisions() == [old]
    assert world.condition("Ready")[0] == "True"


def test_a_paused_service_goes_on_as_it_was() -> None:
    world, old = serving()
    new = str(world.edit(model=OTHER_MODEL).step().wanted)
    world.edit(paused=True)
    world.up(new).settle()
    assert world.service["status"]["revision"]["active"] == old
    assert world.revisions() == sorted([old, new])
    world.edit(paused=False).settle()
    assert world.service["status"]["revision"]["active"] == new


def test_paused_from_the_first_is_not_ready() -> None:
    world = World(AService().spec(paused=True).build())
    assert world.step().apply == ()
    assert world.condition("Ready")[:2] == ("False", "Paused")


def test_a_missing_claim_is_said_before_anything_is_made() -> None:
    world = World(AService().spec(model={"source": "pvc://models/m"}).build(), more={"missing_claim": "models"})
    assert world.step().apply == ()
    assert world.condition("ModelReady")[:2] == world.condition("Ready")[:2] == ("False", "ClaimMissing")
    world.more = {}
    assert "rayservices" in kinds(world.step())


def test_no_pool_that_fits_leaves_what_serves() -> None:
    world, old = serving()
    world.pools = {}
    assert world.step().apply == ()
    assert world.condition("Placed")[:2] == ("False", "NoPool")
    assert world.revisions() == [old]


def test_a_revision_that_somebody_deletes_is_replaced_once_it_is_gone() -> None:
    world, old = serving()
    world.children[Ref("rayservices", "team-a", old)]["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    assert world.step().delete == ()
    del world.children[Ref("rayservices", "team-a", old)]
    world.pods = []
    assert kinds(world.step()) == ["rayservices"]
    assert world.condition("Ready")[0] == "False"


def test_longest_name_gives_a_name_that_kuberay_takes() -> None:
    assert len(str(World(AService("n" * 40).build()).step().wanted)) == 47


def test_another_image_of_the_pool_is_a_new_revision() -> None:
    world, old = serving()
    world.pools = {"cpu": APool().having(image="docker.io/llmservice/worker:new").build()}
    assert world.step().wanted != old


def test_pods_of_other_revisions_do_not_count() -> None:
    world, _ = serving()
    world.pods.append(APod("m-ffffff").ready().build())
    world.step()
    assert world.service["status"]["replicas"] == 1
