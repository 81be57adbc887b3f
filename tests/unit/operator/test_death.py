"""An engine that dies: said with its reason, never called ready without a token, and not at all where others answer."""

import pytest

from llmservice_operator.observed import Probe
from llmservice_operator.plan import decide
from llmservice_operator.probe_targets import probe_targets
from llmservice_operator.reconcile import again_after
from tests.unit.operator.builders import AnEngine, APod
from tests.unit.operator.world import ANSWERS, SILENT, World, serving

GENERIC = "A replica's health check failed. This deployment will be UNHEALTHY until the replica recovers"
SICK = {
    "Ray Serve's own words": (AnEngine().running().application("UNHEALTHY", engine=f"UNHEALTHY: {GENERIC}"), GENERIC),
    "the cause, where it is known": (
        AnEngine().running().application("UNHEALTHY", engine="UNHEALTHY: llmservice: cause: CUDA out of memory"),
        "CUDA out of memory",
    ),
}


def dead(engine: AnEngine, probe: Probe = SILENT) -> tuple[World, str]:
    """A service that was Ready, and whose engine Ray Serve calls unhealthy."""
    world, revision = serving()
    world.engine_probe = probe
    world.engine(revision, engine).settle()
    return world, revision


@pytest.mark.parametrize(("engine", "said"), SICK.values(), ids=SICK)
def test_a_death_is_said_with_its_reason(engine: AnEngine, said: str) -> None:
    world, revision = dead(engine)
    status, reason, message = world.condition("EngineReady")
    assert (status, reason) == ("False", "EngineDied")
    assert said in message
    assert world.condition("Ready")[:2] == ("False", "EngineDied")
    assert world.condition("Reconciling")[:2] == ("True", "EngineDied")
    assert world.condition("Stalled") == ("", "", "")
    assert world.condition("ModelReady")[0] == "True", "its files were never in doubt"
    assert world.service["status"]["revision"]["active"] == revision
    assert "address" in world.service["status"], "requests are held there until it is back"


def test_one_of_several_engines_that_died_is_told_while_the_others_answer() -> None:
    world, _ = dead(AnEngine().running().application("UNHEALTHY", engine=f"UNHEALTHY: {GENERIC}"), probe=ANSWERS)
    status, reason, message = world.condition("EngineReady")
    assert (status, reason) == ("True", "EngineAnswers")
    assert "died and is being restarted, another answers" in message
    assert world.condition("Ready")[0] == "True"


def test_no_ready_worker_is_a_death_though_ray_serve_says_nothing() -> None:
    world, revision = serving()
    world.engine_probe = SILENT
    world.pods = [APod(revision).at("10.244.0.7").build()]
    world.settle()
    assert world.condition("EngineReady")[:2] == ("False", "EngineDied")
    observed = world.observed()
    assert probe_targets(observed, decide(observed)).dead == ("10.244.0.7:8090",)
    world.pods = [APod(revision).at("10.244.0.7").ready().build()]
    world.engine_probe = ANSWERS
    world.settle()
    assert world.condition("Ready")[0] == "True"


def test_a_replica_says_why_and_what_it_said_stays() -> None:
    world, revision = serving()
    world.engine_probe = SILENT
    world.pods = [APod(revision).at("10.244.0.7").build()]
    world.more["causes"] = ["the engine's process died (exit code -9)"]
    world.settle()
    assert "exit code -9" in world.condition("EngineReady")[2]
    world.more["causes"] = []
    world.settle()
    assert "exit code -9" in world.condition("EngineReady")[2]


def test_one_worker_that_is_not_ready_among_several_is_no_death() -> None:
    world, revision = serving(replicas=2)
    world.pods = [APod(revision, name="a").ready().build(), APod(revision, name="b").at("10.244.0.7").build()]
    world.settle()
    assert world.condition("EngineReady")[:2] == ("True", "EngineAnswers")
    assert world.condition("Ready")[0] == "True"


def test_a_service_that_wakes_up_is_not_dead() -> None:
    world, revision = serving(scaling={"minReplicas": 0, "maxReplicas": 1})
    world.pods = [APod(revision).at("10.244.0.7").build()]
    world.settle()
    assert world.condition("EngineReady")[:2] == ("True", "EngineAnswers")


def test_it_stays_dead_while_it_starts_again() -> None:
    world, revision = dead(AnEngine().running().application("UNHEALTHY", engine=f"UNHEALTHY: {GENERIC}"))
    world.engine(revision, AnEngine().running().application("DEPLOYING")).settle()
    assert world.condition("EngineReady")[:2] == ("False", "EngineDied")


def test_it_is_ready_again_only_after_a_token() -> None:
    world, revision = dead(AnEngine().running().application("UNHEALTHY", engine=f"UNHEALTHY: {GENERIC}"))
    world.engine(revision, AnEngine().running()).settle()
    assert world.condition("EngineReady")[:2] == ("False", "ProbeFailed")
    world.engine_probe = ANSWERS
    world.settle()
    assert world.condition("EngineReady")[:2] == ("True", "EngineAnswers")
    assert world.condition("Ready")[0] == "True"


def test_a_dead_engine_is_asked_for_a_token_with_little_patience_and_looked_at_again() -> None:
    world, _ = dead(AnEngine().running().application("UNHEALTHY", engine=f"UNHEALTHY: {GENERIC}"))
    observed = world.observed()
    plan = decide(observed)
    targets = probe_targets(observed, plan)
    assert targets.engine_address is not None
    assert targets.question.patience_s == 5
    assert again_after(observed, plan) == 10


def test_changed_settings_that_ray_serve_takes_over_are_no_death() -> None:
    world, revision = serving()
    world.engine(revision, AnEngine().running().application("DEPLOYING")).settle()
    assert world.condition("EngineReady")[:2] == ("True", "EngineAnswers")
    assert world.condition("Ready")[0] == "True"
    observed = world.observed()
    assert again_after(observed, decide(observed)) is None, "nothing is polled"


def test_a_revision_that_never_came_up_has_failed_not_died() -> None:
    world = World()
    revision = str(world.step().wanted)
    world.engine(revision, AnEngine().application("DEPLOY_FAILED", "llmservice: cause: CUDA out of memory")).settle()
    assert world.condition("EngineReady")[:2] == ("False", "EngineFailed")
