"""Children over a service's life: what is made, restored, refused, and left alone because it is not ours."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from llmservice_api.names import LABEL_SERVICE
from llmservice_operator.observed import Observed, Refused
from llmservice_operator.plan import decide
from llmservice_operator.resources.ingress import ingress_name
from llmservice_operator.store import Ref
from tests.unit.operator.builders import INSTALL, AnEngine, AService, child, foreign
from tests.unit.operator.world import World, kinds, serving


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


@pytest.mark.parametrize(
    "host", ["llm.example.com", "gateway.llmservice-system.svc", "other.team-b.svc", "192.0.2.2", "10.0.0.1", "a.local"]
)
def test_a_host_that_all_share_is_nobodys(host: str) -> None:
    world = World(AService().spec(endpoint={"host": host}).build())
    assert world.step().apply == ()
    assert world.condition("Accepted")[:2] == ("False", "HostReserved")
    assert "host" not in world.service["status"]


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
    assert plan.delete == ()


def test_a_service_with_a_forged_label_is_not_deleted() -> None:
    world, _ = serving()
    stranger = foreign("services", child(world.service, "theirs", clusterIP="10.0.0.1"))
    assert stranger["metadata"]["labels"][LABEL_SERVICE] == "m"
    world.children[Ref("services", "team-a", "theirs")] = stranger
    assert world.step().delete == ()


def least_available(world: World) -> int:
    """What the disruption budget keeps."""
    return int(world.children[Ref("poddisruptionbudgets", "team-a", "m")]["spec"]["minAvailable"])


def test_the_disruption_budget_follows_what_rays_autoscaler_wants_of_the_revision_that_serves() -> None:
    world, revision = serving(scaling={"minReplicas": 1, "maxReplicas": 9})
    assert least_available(world) == 0
    world.engine(revision, AnEngine().running().workers(5)).settle()
    assert least_available(world) == 4
    world.edit(model={"source": "hf://org/other", "revision": "abc"}).settle()
    world.clusters.append(AnEngine().workers(1).cluster(str(world.step().wanted)))
    world.settle()
    assert least_available(world) == 4
    world.engine(revision, AnEngine().running().workers(1)).settle()
    assert least_available(world) == 0
