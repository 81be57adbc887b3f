"""What a revision's engine is doing, from what KubeRay, its pods and the API server say."""

from typing import Any

import pytest

from llmservice_api.reasons import Reason
from llmservice_operator.engine import EngineState, engine_state, of_revision, ready_replicas
from llmservice_operator.observed import Refused
from tests.unit.operator.builders import AnEngine, APod

Json = dict[str, Any]
NAME = "m-abc123"
CAUSE = "llmservice: cause: model source pvc://models/x: no such directory"


def judged(engine: AnEngine | None = None, *pods: APod, refused: Refused | None = None) -> EngineState:
    """The state of one revision; `engine` None: there is no RayService."""
    ray_service = {"status": engine.build()} if engine is not None else None
    clusters = [engine.cluster(NAME)] if engine is not None else []
    return engine_state(ray_service, clusters, [pod.build() for pod in pods], refused)


CASES: dict[str, tuple[EngineState, bool, Reason, str]] = {
    "to be created": (judged(), False, Reason.STARTING, "is being created"),
    "KubeRay has not looked": (judged(AnEngine()), False, Reason.STARTING, "waiting for KubeRay"),
    "pods start": (
        judged(AnEngine(), APod(NAME).ready(), APod(NAME, "head")),
        False,
        Reason.STARTING,
        "1 of 2 pods ready",
    ),
    "deploying": (
        judged(AnEngine().application("DEPLOYING", engine="UPDATING"), APod(NAME).ready()),
        False,
        Reason.STARTING,
        "Ray Serve: DEPLOYING; 1 of 1 pods ready",
    ),
    "up": (judged(AnEngine().running(), APod(NAME).ready()), True, Reason.STARTING, "was not asked"),
    "the root cause, not what is around it": (
        judged(AnEngine().application("DEPLOY_FAILED", f"Traceback …\n  RuntimeError: {CAUSE}\nsee root cause above")),
        False,
        Reason.ENGINE_FAILED,
        "model source pvc://models/x: no such directory",
    ),
    "the cause in a deployment, quoted": (
        judged(AnEngine().application("DEPLOYING", engine="UPDATING: error='llmservice: cause: no libnuma\\nmore'")),
        False,
        Reason.ENGINE_FAILED,
        "no libnuma",
    ),
    "failed with no cause: the last line": (
        judged(AnEngine().application("DEPLOY_FAILED", "Traceback:\n  File …\nValueError: bad\n\n")),
        False,
        Reason.ENGINE_FAILED,
        "ValueError: bad",
    ),
    "failed without a word": (
        judged(AnEngine().application("DEPLOY_FAILED")),
        False,
        Reason.ENGINE_FAILED,
        "Ray Serve gives no message",
    ),
    "a deployment is unhealthy": (
        judged(AnEngine().application("DEPLOYING", engine="UNHEALTHY: died 3 times")),
        False,
        Reason.ENGINE_FAILED,
        "died 3 times",
    ),
    "pods refused": (
        judged(AnEngine().refused_pods('FailedCreateHeadPod\npods "m-x7" is forbidden: exceeded quota: none')),
        False,
        Reason.PODS_REFUSED,
        "the API server refuses the engine's pods: forbidden: exceeded quota: none",
    ),
    "image cannot be pulled": (
        judged(AnEngine(), APod(NAME).waiting("ImagePullBackOff", "not found")),
        False,
        Reason.POD_FAILED,
        "pod m-abc123-worker, container ray-worker: ImagePullBackOff: not found",
    ),
    "an init container cannot start": (
        judged(AnEngine(), APod(NAME).waiting("CreateContainerConfigError", "secret x not found", init=True)),
        False,
        Reason.POD_FAILED,
        "secret x not found",
    ),
    "crash loop, with its exit": (
        judged(AnEngine(), APod(NAME).waiting("CrashLoopBackOff", exit_code=137)),
        False,
        Reason.POD_FAILED,
        "exit code 137, Error",
    ),
    "an image that is being pulled is no failure": (
        judged(AnEngine(), APod(NAME).waiting("ContainerCreating")),
        False,
        Reason.STARTING,
        "0 of 1 pods ready",
    ),
    "unschedulable": (
        judged(AnEngine(), APod(NAME).unschedulable("0/3 nodes: 3 Insufficient nvidia.com/gpu")),
        False,
        Reason.UNSCHEDULABLE,
        "Insufficient nvidia.com/gpu",
    ),
    "no KubeRay": (
        judged(refused=Refused(404, "the server could not find the requested resource")),
        False,
        Reason.KUBERAY_MISSING,
        "install KubeRay",
    ),
    "foreign RayService": (
        judged(refused=Refused(409, "rayservices m-abc123: conflict")),
        False,
        Reason.CHILD_NOT_OWNED,
        "rename or delete it",
    ),
    "refused otherwise": (judged(refused=Refused(422, "spec: Invalid")), False, Reason.WRITE_REFUSED, "spec: Invalid"),
}


@pytest.mark.parametrize(("state", "up", "reason", "text"), CASES.values(), ids=CASES)
def test_state(state: EngineState, up: bool, reason: Reason, text: str) -> None:
    assert (state.up, state.reason) == (up, reason)
    assert text in state.message
    assert "\n" not in state.message
    assert state.failed == (not up and reason is not Reason.STARTING)


def test_a_bad_model_source_is_told_apart() -> None:
    assert judged(AnEngine().application("DEPLOY_FAILED", CAUSE)).model_unreadable
    assert not judged(AnEngine().application("DEPLOY_FAILED", "llmservice: cause: out of memory")).model_unreadable


def test_the_outermost_cause_speaks() -> None:
    engine = AnEngine().application("DEPLOY_FAILED", CAUSE).refused_pods("quota")
    assert judged(engine, APod(NAME).unschedulable("full")).reason is Reason.PODS_REFUSED


def test_running_without_proxies_is_not_up() -> None:
    engine = {"status": AnEngine().application("RUNNING").build()}
    assert not engine_state(engine, [], [], None).up


@pytest.mark.parametrize("status", [None, {}, {"conditions": []}, {"activeServiceStatus": {}}])
def test_an_empty_status_is_starting(status: Json | None) -> None:
    assert engine_state({"status": status}, [], [], None).reason is Reason.STARTING


def test_replicas_are_ready_workers_that_stay() -> None:
    pods = [
        APod(NAME).ready().build(),
        APod(NAME, name="w2").build(),
        APod(NAME, name="w3").ready().terminating().build(),
        APod(NAME, "head").ready().build(),
        APod("m-other1").ready().build(),
    ]
    assert ready_replicas(of_revision(NAME, pods)) == 1
    assert len(of_revision(NAME, pods)) == 4


@pytest.mark.parametrize(("ready", "replicas"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)])
def test_a_replica_of_two_pods_counts_when_both_are_ready(ready: int, replicas: int) -> None:
    pods = [APod(NAME, name=f"w{index}").of_a_replica(2) for index in range(4)]
    found = [pod.ready().build() if index < ready else pod.build() for index, pod in enumerate(pods)]
    assert ready_replicas(found) == replicas
