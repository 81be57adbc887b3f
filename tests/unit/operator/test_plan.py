"""The decision over a service's life: what is observed → what is applied, deleted and said.

Each test walks a small world from one reconcile to the next; nothing in it talks to an API server.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from llmservice_api.names import LABEL_SERVICE
from llmservice_operator.observed import Observed, Question, Refused
from llmservice_operator.plan import ProbeTargets, decide, probe_targets
from llmservice_operator.resources.ingress import ingress_name
from llmservice_operator.store import Ref
from tests.unit.operator.builders import INSTALL, AnEngine, APod, APool, AService, child, foreign
from tests.unit.operator.world import SILENT, World, serving

OTHER_MODEL = {"source": "hf://org/other", "revision": "abc"}
THIRD_MODEL = {"source": "hf://org/third", "revision": "abc"}


def kinds(plan: Any) -> list[str]:
    """Kinds that a plan applies."""
    return [plural for plural, _ in plan.apply]


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
    assert targets == ProbeTargets(Question("m"), "10.96.0.4:8000", through_gateway=False)
    assert world.settle().rollout.active is None  # type: ignore[union-attr]
    world.engine_probe = replace(SILENT, error="")
    assert world.settle().rollout.active == revision  # type: ignore[union-attr]


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


@pytest.mark.parametrize("plural", ["rayservices", "services", "networkpolicies", "poddisruptionbudgets"])
def test_a_deleted_child_comes_back(plural: str) -> None:
    world, revision = serving()
    name = revision if plural in ("rayservices", "services") else "m"
    del world.children[Ref(plural, "team-a", name)]
    assert kinds(world.step()) == [plural]


EDITS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "rayservices": ("revision", lambda obj: obj["spec"].update(serveConfigV2="{}")),
    "services": ("revision", lambda obj: obj["spec"]["selector"].pop("ray.io/serve")),
    "networkpolicies": ("m", lambda obj: obj["spec"]["ingress"].append({})),
    "poddisruptionbudgets": ("m", lambda obj: obj["metadata"]["labels"].pop("app.kubernetes.io/name")),
}


@pytest.mark.parametrize(("plural", "edit"), [(plural, edit) for plural, (_, edit) in EDITS.items()], ids=EDITS)
def test_an_edited_child_is_restored(plural: str, edit: Callable[[Any], object]) -> None:
    world, revision = serving()
    name = revision if EDITS[plural][0] == "revision" else "m"
    edit(world.children[Ref(plural, "team-a", name)])
    assert kinds(world.step()) == [plural]


def test_fields_of_others_on_a_child_are_left_alone() -> None:
    world, revision = serving()
    known = world.children[Ref("services", "team-a", revision)]
    known["metadata"]["annotations"]["example.com/mesh"] = "on"
    known["spec"]["sessionAffinity"] = "None"
    assert world.step().apply == ()


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


@pytest.mark.parametrize(
    "host", ["llm.example.com", "gateway.llmservice-system.svc", "other.team-b.svc", "192.0.2.2", "10.0.0.1", "a.local"]
)
def test_a_host_that_all_share_is_nobodys(host: str) -> None:
    world = World(AService().spec(endpoint={"host": host}).build())
    assert world.step().apply == ()
    assert world.condition("Accepted")[:2] == ("False", "HostReserved")
    assert "host" not in world.service["status"]


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


def test_a_host_of_another_service_is_not_taken() -> None:
    world = World(AService().spec(endpoint={"host": "m.example.com"}).build(), more={"host_owner": "team-b/other"})
    assert world.step().apply == ()
    assert world.condition("Accepted")[:2] == ("False", "HostTaken")
    assert "team-b/other" in world.condition("Accepted")[2]


def test_the_ingress_of_an_own_host_stands_in_the_gateways_namespace_and_moves_with_the_host() -> None:
    world, _ = serving(endpoint={"host": "a.example.com"})
    here = Ref("ingresses", INSTALL.namespace, ingress_name("a.example.com"))
    assert here in world.children
    world.edit(endpoint={"host": "b.example.com"}).settle()
    assert [ref.name for ref in world.children if ref.plural == "ingresses"] == [ingress_name("b.example.com")]
    world.edit(endpoint=None).settle()
    assert world.names("ingresses") == []


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


def refused(world: World, plural: str, name: str, status: int) -> Observed:
    """What is observed after the API server has refused a child."""
    return replace(world.observed(), refused={Ref(plural, "team-a", name): Refused(status, f"{plural} {name}: no")})


@pytest.mark.parametrize(("status", "reason"), [(409, "ChildNotOwned"), (403, "WriteRefused"), (422, "WriteRefused")])
def test_a_refused_child_is_a_condition(status: int, reason: str) -> None:
    plan = decide(refused(World(), "networkpolicies", "m", status))
    assert (plan.accepted.status, plan.accepted.reason) == ("False", reason)
    assert "networkpolicies m: no" in plan.accepted.message


def test_a_refused_ray_service_speaks_through_its_engine() -> None:
    revision = str(decide(World().observed()).wanted)
    plan = decide(refused(World(), "rayservices", revision, 404))
    assert plan.accepted.holds
    assert plan.engines[revision].reason == "KubeRayMissing"


def test_an_object_of_that_name_that_is_not_ours_is_none_of_our_revisions() -> None:
    world = World()
    revision = str(world.step().wanted)
    for plural in ("rayservices", "services"):
        ref = Ref(plural, "team-a", revision)
        world.children[ref] = foreign(plural, world.children[ref])
    plan = world.up(revision).step()
    assert plan.rollout is not None
    assert plan.rollout.active is None
    assert all(ref.plural not in ("rayservices", "services") for ref in plan.delete)


def test_a_service_with_a_forged_label_is_not_deleted() -> None:
    world, _ = serving()
    stranger = foreign("services", child(world.service, "theirs", clusterIP="10.0.0.1"))
    assert stranger["metadata"]["labels"][LABEL_SERVICE] == "m"
    world.children[Ref("services", "team-a", "theirs")] = stranger
    assert world.step().delete == ()


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
