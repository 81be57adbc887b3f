"""Status from what was observed and decided."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from llmservice_api.reasons import ConditionType
from llmservice_operator.observed import Probe, Refused, rfc3339
from llmservice_operator.plan import decide
from llmservice_operator.report import findings, status
from llmservice_operator.store import Ref
from tests.unit.operator.builders import INSTALL, AnEngine, APod, APool, AService
from tests.unit.operator.world import SILENT, World, serving

NO_CLASS: dict[str, Any] = {"has_default_class": False}


def types(world: World) -> list[str]:
    """Types of the conditions in status."""
    return [item["type"] for item in world.service["status"]["conditions"]]


def test_a_ready_service() -> None:
    world, revision = serving()
    found = {key: value for key, value in world.service["status"].items() if key != "conditions"}
    assert found == {
        "observedGeneration": 1,
        "url": "https://llm.example.com/team-a/m/v1",
        "address": "10.96.0.4:8000",
        "model": {"name": "m"},
        "desiredReplicas": 1,
        "replicas": 1,
        "selector": f"llmservice.io/service=m,ray.io/node-type=worker,llmservice.io/revision={revision}",
        "revision": {"active": revision},
        "placement": {"pool": "cpu", "reason": "pool cpu: cheapest pool that fitted"},
    }
    wanted = ["Accepted", "Placed", "ModelReady", "EngineReady", "RouteReady", "Scaling", "Progressing", "Ready"]
    assert types(world) == wanted
    assert all(item["status"] == "True" and item["reason"] for item in world.service["status"]["conditions"])


def test_nothing_new_is_the_same_status() -> None:
    world, _ = serving()
    observed = world.later(hours=1).probed()
    assert status(observed, decide(observed)) == world.service["status"]


def test_every_condition_names_the_generation() -> None:
    world, _ = serving()
    world.edit(replicas=2).settle()
    assert world.service["status"]["observedGeneration"] == 2
    assert {item["observedGeneration"] for item in world.service["status"]["conditions"]} == {2}


def test_a_fresh_service_is_reconciling_not_stalled() -> None:
    world = World()
    world.step()
    assert world.condition("Ready")[:2] == ("False", "Loading")
    assert world.condition("EngineReady")[:2] == ("False", "Starting")
    assert world.condition("Progressing")[:2] == ("True", "RollingOut")
    assert world.condition("Reconciling")[0] == "True"
    assert "Stalled" not in types(world)
    assert "active" not in world.service["status"]["revision"]
    assert world.service["status"]["replicas"] == 0


def test_up_but_silent_is_not_ready() -> None:
    world = World(engine_probe=Probe(error="HTTP 500: no"))
    world.up(str(world.step().wanted)).settle()
    assert world.condition("EngineReady") == (
        "False",
        "ProbeFailed",
        "Ray Serve runs, but a one-token request failed: HTTP 500: no",
    )
    assert world.condition("Ready")[0] == "False"
    assert "active" not in world.service["status"]["revision"]


def test_answers_but_the_gateway_does_not_route_yet() -> None:
    world = World(route_probe=SILENT)
    world.up(str(world.step().wanted)).settle()
    assert world.service["status"]["address"]
    assert world.condition("EngineReady")[0] == "True"
    assert world.condition("RouteReady")[:2] == world.condition("Ready")[:2] == ("False", "RoutePending")
    assert "TimeoutError" in world.condition("RouteReady")[2]


def test_nothing_listens_yet_is_a_start_and_no_failure() -> None:
    world = World(engine_probe=Probe(error="connection refused", reached=False))
    world.up(str(world.step().wanted)).settle()
    assert world.condition("EngineReady")[:2] == ("False", "Starting")


def test_ready_holds_while_the_route_moves_to_a_revision_that_answered() -> None:
    world, _ = serving()
    new = str(world.edit(model={"source": "hf://org/other"}).step().wanted)
    world.up(new).step()
    assert world.service["status"]["revision"]["active"] == new
    assert world.condition("RouteReady")[:2] == ("True", "RouteMoving")
    assert world.condition("Ready")[0] == "True"
    world.settle()
    assert world.condition("RouteReady")[:2] == ("True", "RouteAnswers")


def test_a_token_through_an_older_address_proves_nothing_of_the_new_one() -> None:
    world, _ = serving()
    new = str(world.edit(model={"source": "hf://org/other"}).step().wanted)
    world.up(new)
    world.route_probe = SILENT
    world.settle()
    assert world.service["status"]["revision"]["active"] == new
    assert world.condition("RouteReady")[0] == "False"


@pytest.mark.parametrize(
    ("revision", "source", "note"),
    [(None, "hf://o/m", True), ("abc", "hf://o/m", False), (None, "pvc://claim/m", False)],
)
def test_an_unpinned_revision_is_said(revision: str | None, source: str, note: bool) -> None:
    model = {"source": source} | ({"revision": revision} if revision else {})
    world = World(AService().spec(model=model).build())
    world.up(str(world.step().wanted)).settle()
    state, _, message = world.condition("ModelReady")
    assert state == "True"
    assert ("not pinned" in message) is note


FAILURES: dict[str, tuple[AnEngine, list[APod], str, str, str]] = {
    # name: (engine, pods, condition, reason, text)
    "root cause": (
        AnEngine().application("DEPLOY_FAILED", "x\nllmservice: cause: no init_cpu_memory_env\nsee root cause above"),
        [],
        "EngineReady",
        "EngineFailed",
        "no init_cpu_memory_env",
    ),
    "model source": (
        AnEngine().application("DEPLOY_FAILED", "llmservice: cause: model source hf://o/m: 404"),
        [],
        "ModelReady",
        "ModelUnreadable",
        "hf://o/m: 404",
    ),
    "pods refused": (AnEngine().refused_pods("exceeded quota"), [], "EngineReady", "PodsRefused", "exceeded quota"),
    "image": (AnEngine(), [APod("m-x").waiting("ImagePullBackOff", "gone")], "EngineReady", "PodFailed", "gone"),
}


@pytest.mark.parametrize(("engine", "pods", "kind", "reason", "text"), FAILURES.values(), ids=FAILURES)
def test_what_is_wrong_is_said_and_waiting_is_not_advised(
    engine: AnEngine, pods: list[APod], kind: str, reason: str, text: str
) -> None:
    world = World()
    revision = str(world.step().wanted)
    world.pods = [pod.build() for pod in pods]
    for pod in world.pods:
        pod["metadata"]["labels"]["llmservice.io/revision"] = revision
    world.engine(revision, engine).settle()
    assert world.condition(kind)[:2] == ("False", reason)
    assert text in world.condition(kind)[2]
    assert world.condition("Progressing")[0] == "False"
    assert world.condition("Stalled")[0] == "True"
    assert "Reconciling" not in types(world)


def test_unschedulable_may_pass() -> None:
    world = World()
    revision = str(world.step().wanted)
    world.pods = [APod(revision).unschedulable("0/1 nodes").build()]
    world.settle()
    assert world.condition("EngineReady")[:2] == ("False", "Unschedulable")
    assert world.condition("Reconciling")[0] == "True"


def test_a_revision_that_does_not_come_up_in_time() -> None:
    world = World()
    world.step()
    world.later(minutes=31).settle()
    assert world.condition("Progressing")[:2] == ("False", "ProgressDeadlineExceeded")
    assert world.condition("Stalled")[0] == "True"


def test_no_kuberay() -> None:
    world = World()
    revision = str(decide(world.observed()).wanted)
    ref = Ref("rayservices", "team-a", revision)
    observed = replace(world.observed(), refused={ref: Refused(404, "not found")})
    by_type = {finding.type: finding for finding in findings(observed, decide(observed))}
    assert by_type[ConditionType.ENGINE_READY].reason == by_type[ConditionType.PROGRESSING].reason == "KubeRayMissing"
    assert by_type[ConditionType.STALLED].holds


@pytest.mark.parametrize(
    ("endpoint", "gateway_needs", "more", "missing"),
    [
        ({"host": "a.example.com"}, False, NO_CLASS, True),
        ({"host": "a.example.com", "ingressClassName": "traefik"}, False, NO_CLASS, False),
        ({"host": "a.example.com"}, False, {}, False),
        (None, True, NO_CLASS, True),
        (None, False, NO_CLASS, False),
    ],
)
def test_a_default_ingress_class_is_missing_where_it_is_needed(
    endpoint: Any, gateway_needs: bool, more: dict[str, Any], missing: bool
) -> None:
    install = replace(INSTALL, gateway_needs_default_class=gateway_needs)
    world = World(AService().spec(endpoint=endpoint).build(), more=more | {"install": install})
    world.up(str(world.step().wanted)).settle()
    assert (world.condition("RouteReady")[1] == "IngressClassMissing") is missing
    assert (world.condition("Ready")[0] == "True") is not missing


@pytest.mark.parametrize(("needed", "said"), [(True, True), (False, False)])
def test_what_cannot_be_seen_of_the_way_in_is_said(needed: bool, said: bool) -> None:
    world, _ = serving()
    install = replace(INSTALL, gateway_needs_default_class=needed, sees_cluster=False)
    world.more = {"has_default_class": None, "install": install}
    world.settle()
    assert world.condition("RouteReady")[0] == "True"
    assert ("default IngressClass is not looked at" in world.condition("RouteReady")[2]) is said


@pytest.mark.parametrize(
    ("spec", "ready", "desired", "holds"),
    [
        ({"replicas": 2}, 1, 2, False),
        ({"replicas": 2}, 2, 2, True),
        ({"replicas": 1}, 2, 1, False),
        ({"scaling": {"minReplicas": 1, "maxReplicas": 3}}, 2, 2, True),
        ({"scaling": {"minReplicas": 2, "maxReplicas": 3}}, 1, 2, False),
        ({"scaling": {"minReplicas": 0, "maxReplicas": 3}}, 0, 0, True),
        ({"scaling": {"minReplicas": 0, "maxReplicas": 2}}, 4, 2, False),
    ],
)
def test_replicas(spec: dict[str, Any], ready: int, desired: int, holds: bool) -> None:
    world, revision = serving(**spec)
    world.pods = [APod(revision, name=f"w{number}").ready().build() for number in range(ready)]
    world.settle()
    found = world.service["status"]
    assert (found["replicas"], found["desiredReplicas"]) == (ready, desired)
    assert (world.condition("Scaling")[0] == "True") is holds


def test_names_in_the_api() -> None:
    world = World(AService().model(name="qwen/qwen3").build())
    world.step()
    assert world.service["status"]["model"] == {"name": "qwen/qwen3"}


def test_a_transition_time_stays_while_the_status_does() -> None:
    world, _ = serving()
    world.later(hours=1)
    world.pods = []
    world.settle()
    times = {item["type"]: item["lastTransitionTime"] for item in world.service["status"]["conditions"]}
    assert times["Scaling"] == rfc3339(world.now)
    assert times["Ready"] != rfc3339(world.now)


DEAR = {"promptPerMillion": "2", "cachedPerMillion": "0.5", "completionPerMillion": "8"}
CHEAP = {"promptPerMillion": "0.1", "completionPerMillion": "0.2"}
CHEAP_SAID = CHEAP | {"cachedPerMillion": "0.1"}


@pytest.mark.parametrize(
    ("own", "pools", "said"),
    [(None, None, None), (DEAR, None, DEAR), (None, CHEAP, CHEAP_SAID), (DEAR, CHEAP, DEAR), (CHEAP, DEAR, CHEAP_SAID)],
)
def test_a_services_own_prices_come_before_its_pools_and_need_no_new_engine(own: Any, pools: Any, said: Any) -> None:
    world, revision = serving()
    world.pools = {"cpu": APool().having(**({"pricing": pools} if pools else {})).build()}
    world.edit(**({"pricing": own} if own else {})).settle()
    assert world.service["status"].get("pricing") == said
    assert world.service["status"]["revision"] == {"active": revision}
    world.pools = {}
    world.settle()
    assert world.service["status"].get("pricing") == said


UP, DOWN = "UPSCALING: Upscaling from 1 to 3 replicas.", "DOWNSCALING: Downscaling from 3 to 1 replicas."


@pytest.mark.parametrize(
    ("engine", "workers", "desired", "state", "reason", "said"),
    [
        ("HEALTHY", 1, 1, "True", "AsDesired", "1 replicas run, 1 to 4 are wanted"),
        (UP, 1, 1, "True", "ScalingUp", "Ray Serve: Upscaling from 1 to 3 replicas."),
        (UP, 3, 3, "True", "ScalingUp", "Ray Serve: Upscaling from 1 to 3 replicas."),
        (DOWN, 1, 1, "True", "ScalingDown", "Ray Serve: Downscaling from 3 to 1 replicas."),
        ("HEALTHY", 9, 4, "True", "AsDesired", "1 replicas run, 1 to 4 are wanted"),
    ],
)
def test_scaling_says_what_ray_serve_does_and_what_its_autoscaler_wants(
    engine: str, workers: int, desired: int, state: str, reason: str, said: str
) -> None:
    world, revision = serving(scaling={"minReplicas": 1, "maxReplicas": 4})
    status = AnEngine().running().application("RUNNING", engine=engine).workers(workers)
    world.engine(revision, status).settle()
    assert world.condition("Scaling")[:2] == (state, reason)
    assert said in world.condition("Scaling")[2]
    found = world.service["status"]
    assert (found["desiredReplicas"], found["replicas"]) == (desired, 1)
    assert world.condition("Ready")[0] == "True"


def test_replicas_of_several_pods_are_desired_as_replicas() -> None:
    engine = {"tensorParallel": 8, "pipelineParallel": 2}
    service = AService().spec(scaling={"minReplicas": 0, "maxReplicas": 4}, engine=engine).build()
    nodes: list[Mapping[str, str]] = [{"nvidia.com/gpu.product": "NVIDIA-L4"}]
    world = World(service, pools={"gpu": APool().gpu(per_node=8).having(maxNodes=8).build()}, node_labels=nodes)
    revision = str(world.step().wanted)
    world.engine(revision, AnEngine().running().workers(6)).settle()
    assert world.service["status"]["desiredReplicas"] == 3
