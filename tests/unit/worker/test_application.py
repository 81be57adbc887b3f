import importlib.util
import json

from llmservice_worker import autoscaling
from llmservice_worker.application import DEPLOYMENT, IMPORT_PATH, POLICY, application
from llmservice_worker.args import LiveArgs, Scaling, WorkerArgs

WORKER = WorkerArgs(model_id="org/m", source="/models/c/m", aliases=("a",))


def test_what_restarts_an_engine_is_apart_from_what_does_not() -> None:
    few = application("llm", WORKER, LiveArgs(scaling=Scaling(max_replicas=1)))
    many = application("llm", WORKER, LiveArgs(scaling=Scaling(max_replicas=9), max_ongoing_requests=7))
    assert few["args"] == many["args"] == {"model_id": "org/m", "aliases": ["a"], "source": "/models/c/m"}
    assert few["deployments"] != many["deployments"]
    assert {**few, "deployments": 0} == {**many, "deployments": 0}


def test_it_is_json_and_the_same_each_time() -> None:
    first, second = (json.dumps(application("llm", WORKER, LiveArgs()), sort_keys=True) for _ in range(2))
    assert first == second
    assert "null" not in first


def test_the_arguments_come_back_from_it() -> None:
    assert WorkerArgs.model_validate(application("llm", WORKER, LiveArgs())["args"]) == WORKER


def test_queues_are_bounded_and_our_policy_decides_without_serves_delays() -> None:
    (deployment,) = application("llm", WORKER, LiveArgs(scaling=Scaling(min_replicas=0, max_replicas=3)))["deployments"]
    assert deployment["name"] == DEPLOYMENT
    assert deployment["max_queued_requests"] == 256
    scaling = deployment["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (0, 3)
    assert (scaling["upscale_delay_s"], scaling["downscale_delay_s"]) == (0, 0)
    assert autoscaling.QueueDepth(**scaling["policy"]["policy_kwargs"])


def test_what_is_named_by_path_is_there() -> None:
    for path in (IMPORT_PATH, POLICY):
        assert importlib.util.find_spec(path.partition(":")[0]) is not None
    assert POLICY.partition(":")[2] == autoscaling.QueueDepth.__name__
