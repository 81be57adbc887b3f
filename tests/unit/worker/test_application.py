import importlib.util
import json

from llmservice_worker import autoscaling
from llmservice_worker.application import DEPLOYMENT, IMPORT_PATH, POLICY, application, autoscaling_config
from llmservice_worker.args import Adapter, LiveArgs, Scaling, UserConfig, WorkerArgs

WORKER = WorkerArgs(model_id="org/m", source="/models/c/m", aliases=("a",))


def test_what_restarts_an_engine_is_apart_from_what_does_not() -> None:
    few = application("llm", WORKER, LiveArgs(scaling=Scaling(max_replicas=1)))
    many = application("llm", WORKER, LiveArgs(scaling=Scaling(max_replicas=9), drain_s=7))
    assert few["args"] == many["args"] == {"model_id": "org/m", "aliases": ["a"], "source": "/models/c/m"}
    assert few["deployments"] != many["deployments"]
    assert {**few, "deployments": 0} == {**many, "deployments": 0}


def test_adapters_and_templates_are_taken_over_without_a_restart() -> None:
    config = UserConfig(adapters=(Adapter(name="a", source="pvc://c/a"),), dynamic_adapters="pvc://c/all")
    few, many = application("llm", WORKER, LiveArgs()), application("llm", WORKER, LiveArgs(user_config=config))
    assert few["args"] == many["args"]
    assert few["deployments"][0]["user_config"] == {}
    assert UserConfig.model_validate(many["deployments"][0]["user_config"]) == config


def test_it_is_json_and_the_same_each_time() -> None:
    first, second = (json.dumps(application("llm", WORKER, LiveArgs()), sort_keys=True) for _ in range(2))
    assert first == second
    assert "null" not in first


def test_the_arguments_come_back_from_it() -> None:
    assert WorkerArgs.model_validate(application("llm", WORKER, LiveArgs())["args"]) == WORKER


def test_queues_are_bounded_and_ray_serves_own_fields_say_when_to_scale() -> None:
    scaling = Scaling(min_replicas=0, max_replicas=3, up_delay_s=1, down_delay_s=2, idle_after_s=3)
    live = LiveArgs(scaling=scaling, user_config=UserConfig(max_requests=12))
    (deployment,) = application("llm", WORKER, live)["deployments"]
    assert deployment["name"] == DEPLOYMENT
    assert deployment["max_queued_requests"] == deployment["user_config"]["max_requests"] == 12
    config = deployment["autoscaling_config"]
    assert (config["min_replicas"], config["max_replicas"]) == (0, 3)
    assert (config["upscale_delay_s"], config["downscale_delay_s"], config["downscale_to_zero_delay_s"]) == (1, 2, 3)


def test_the_policy_is_the_same_for_all_since_a_change_of_it_restarts_engines() -> None:
    assert autoscaling_config(Scaling())["policy"] == autoscaling_config(Scaling(target_queue_depth=9))["policy"]


def test_what_is_named_by_path_is_there() -> None:
    for path in (IMPORT_PATH, POLICY):
        assert importlib.util.find_spec(path.partition(":")[0]) is not None
    assert POLICY.partition(":")[2] == autoscaling.queue_depth.__name__
