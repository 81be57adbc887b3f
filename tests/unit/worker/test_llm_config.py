from collections.abc import Callable

import pytest

from llmservice_worker.args import Engine, EngineExtra, Task, WorkerArgs
from llmservice_worker.llm_config import bundles, deployment_options, engine_environment, engine_kwargs, llm_config


def cpu(cpus: float = 2, tensor_parallel: int = 1, kv_cache: int | None = 1) -> WorkerArgs:
    engine = Engine(tensor_parallel_size=tensor_parallel)
    return WorkerArgs(model_id="org/m", source="/models/c/m", cpus=cpus, kv_cache_gib=kv_cache, engine=engine)


def gpu(count: int, stages: int = 1) -> WorkerArgs:
    extra = EngineExtra(gpu_memory_utilization=0.8)
    engine = Engine(tensor_parallel_size=count, pipeline_parallel_size=stages, extra=extra)
    return WorkerArgs(model_id="m", source="org/m", accelerator="nvidia.com/gpu", cpus=4, engine=engine)


def test_a_cpu_engine_is_eager_and_asks_for_no_accelerator() -> None:
    config = llm_config(cpu())
    assert config["model_loading_config"] == {"model_id": "org/m", "model_source": "/models/c/m"}
    assert config["accelerator_type"] is None
    assert config["placement_group_config"]["bundles"] == [{"CPU": 2.0}]
    assert config["engine_kwargs"]["enforce_eager"] is True


def test_what_the_owner_sets_wins_over_our_default() -> None:
    args = WorkerArgs(model_id="m", source="org/m", engine=Engine(extra=EngineExtra(enforce_eager=False)))
    assert engine_kwargs(args)["enforce_eager"] is False


def test_each_accelerator_has_a_bundle_and_the_first_the_cpus() -> None:
    assert bundles(gpu(1)) == [{"GPU": 1, "CPU": 4.0}]
    assert bundles(gpu(3)) == [{"GPU": 1, "CPU": 4.0}, {"GPU": 1}, {"GPU": 1}]
    kwargs = engine_kwargs(gpu(3))
    assert (kwargs["tensor_parallel_size"], kwargs["gpu_memory_utilization"]) == (3, 0.8)
    assert "enforce_eager" not in kwargs
    assert set(engine_environment(gpu(3))) == {"VLLM_MAX_IMAGE_PIXELS"}


def test_threads_and_cache_of_a_cpu_engine() -> None:
    environment = engine_environment(cpu())
    assert (environment["OMP_NUM_THREADS"], environment["VLLM_CPU_KVCACHE_SPACE"]) == ("2", "1")
    assert engine_environment(cpu(cpus=0.5))["OMP_NUM_THREADS"] == "1"
    assert engine_environment(cpu(cpus=8, tensor_parallel=2))["OMP_NUM_THREADS"] == "4"
    assert "VLLM_CPU_KVCACHE_SPACE" not in engine_environment(cpu(kv_cache=None))


def test_one_process_only_without_tensor_parallelism() -> None:
    assert engine_environment(cpu())["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in engine_environment(cpu(tensor_parallel=2))


def test_no_documentation_route_and_no_prompt_in_logs() -> None:
    kwargs = engine_kwargs(cpu())
    assert kwargs["disable_fastapi_docs"] is True
    assert "enable_log_requests" not in kwargs


def test_a_replica_sits_in_its_first_bundle() -> None:
    options = deployment_options(gpu(2))
    assert options["placement_group_bundles"] == bundles(gpu(2))
    assert options["ray_actor_options"] == {"num_cpus": 0}


def test_a_replica_of_one_node_is_never_split_and_names_no_executor() -> None:
    for args in (cpu(), gpu(4)):
        assert deployment_options(args)["placement_group_strategy"] == "STRICT_PACK"
        assert llm_config(args)["placement_group_config"]["strategy"] == "STRICT_PACK"
        assert not {"pipeline_parallel_size", "distributed_executor_backend"} & set(engine_kwargs(args))


def test_a_pipeline_takes_a_bundle_for_each_accelerator_of_all_its_nodes() -> None:
    args = gpu(8, stages=2)
    assert len(bundles(args)) == 16
    assert [bundle["GPU"] for bundle in bundles(args)] == [1] * 16
    assert sum("CPU" in bundle for bundle in bundles(args)) == 1
    assert deployment_options(args)["placement_group_strategy"] == "PACK"
    kwargs = engine_kwargs(args)
    assert (kwargs["tensor_parallel_size"], kwargs["pipeline_parallel_size"]) == (8, 2)
    assert kwargs["distributed_executor_backend"] == "ray"


@pytest.mark.parametrize("place", [cpu, gpu])
def test_traces_are_off_unless_an_endpoint_is_named(place: Callable[..., WorkerArgs]) -> None:
    args = place() if place is cpu else place(1)
    assert "otlp_traces_endpoint" not in engine_kwargs(args)
    assert not [name for name in engine_environment(args) if name.startswith("OTEL_")]


def test_an_endpoint_gets_the_spans_of_requests_that_the_gateway_traces() -> None:
    args = gpu(1).model_copy(update={"tracing_endpoint": "http://otel:4318", "model_id": "org/smol"})
    assert engine_kwargs(args)["otlp_traces_endpoint"] == "http://otel:4318/v1/traces"
    environment = engine_environment(args)
    assert environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert environment["OTEL_TRACES_SAMPLER"] == "parentbased_always_off"
    assert environment["OTEL_RESOURCE_ATTRIBUTES"] == "llmservice.model=org%2Fsmol"


def test_ray_serve_writes_no_access_log_of_its_own() -> None:
    assert deployment_options(cpu())["logging_config"] == {"encoding": "JSON", "enable_access_log": False}


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        ({}, {"max_loras": 4, "max_cpu_loras": 16, "max_lora_rank": 16}),
        ({"max_loras": 2, "max_lora_rank": 64}, {"max_loras": 2, "max_cpu_loras": 16, "max_lora_rank": 64}),
        ({"max_loras": 32}, {"max_loras": 32, "max_cpu_loras": 32, "max_lora_rank": 16}),
        ({"max_cpu_loras": 2}, {"max_loras": 2, "max_cpu_loras": 2, "max_lora_rank": 16}),
    ],
)
def test_an_engine_for_adapters_has_room_for_a_few(extra: dict[str, int], wanted: dict[str, int]) -> None:
    engine = Engine(extra=EngineExtra.model_validate(extra))
    found = engine_kwargs(WorkerArgs(model_id="m", source="/models/m", adapters=True, engine=engine))
    assert {**found, **wanted, "enable_lora": True} == found
    assert "enable_lora" not in engine_kwargs(WorkerArgs(model_id="m", source="/models/m", engine=engine))


@pytest.mark.parametrize(
    ("tasks", "runner"),
    [
        (("generate",), "generate"),
        (("transcribe",), "generate"),
        (("embed", "score"), "pooling"),
        (("classify",), "pooling"),
    ],
)
def test_tasks_decide_how_vllm_runs_the_model(tasks: tuple[Task, ...], runner: str) -> None:
    assert engine_kwargs(WorkerArgs(model_id="m", source="/models/m", tasks=tasks))["runner"] == runner


def test_vllm_fetches_nothing_that_a_request_points_to() -> None:
    kwargs = engine_kwargs(cpu().model_copy(update={"media_hosts": ("images.example.com",)}))
    assert kwargs["allowed_media_domains"] == ["nowhere.invalid"]
    assert "allowed_local_media_path" not in kwargs
