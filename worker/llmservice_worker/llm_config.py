"""WorkerArgs as what Ray Serve LLM and vLLM take: plain dictionaries, pure."""

import math
from typing import Any, Final
from urllib.parse import quote

from llmservice_worker.application import DEPLOYMENT
from llmservice_worker.args import Task, WorkerArgs
from llmservice_worker.images import PIXELS

_FRONTEND: Final = {"disable_fastapi_docs": True}
_TRACES_PATH: Final = "/v1/traces"
_LORAS: Final = 4
_CPU_LORAS: Final = 16
_LORA_RANK: Final = 16
_RESTART_S: Final = 600
"""How long an engine may take to start again in its replica."""
_GENERATING: Final[tuple[Task, ...]] = ("generate", "transcribe")
_NO_HOST: Final = "nowhere.invalid"
_CPU_DEFAULTS: Final = {"enforce_eager": True}
"""On a CPU vLLM compiles with a C++ compiler, which the image does not have."""


def llm_config(args: WorkerArgs) -> dict[str, Any]:
    """The keywords of `ray.serve.llm.LLMConfig`."""
    return {
        "model_loading_config": {"model_id": args.model_id, "model_source": args.source},
        "engine_kwargs": engine_kwargs(args),
        "accelerator_type": None,
        "placement_group_config": {"bundles": bundles(args), "strategy": strategy(args)},
        "log_engine_metrics": False,
    }


def engine_kwargs(args: WorkerArgs) -> dict[str, Any]:
    """vLLM's engine and front-end arguments; absent where vLLM's default is wanted."""
    engine = args.engine
    named = {
        "max_model_len": engine.max_model_len,
        "quantization": engine.quantization,
        "otlp_traces_endpoint": args.tracing_endpoint and f"{args.tracing_endpoint}{_TRACES_PATH}",
    }
    return {
        **_FRONTEND,
        **({} if args.accelerator else _CPU_DEFAULTS),
        **{key: value for key, value in named.items() if value is not None},
        **_task_kwargs(args),
        "dtype": engine.dtype,
        "tensor_parallel_size": engine.tensor_parallel_size,
        **_across_nodes(args),
        "trust_remote_code": engine.trust_remote_code,
        **engine.extra.model_dump(exclude_none=True),
        **lora_kwargs(args),
    }


def _task_kwargs(args: WorkerArgs) -> dict[str, Any]:
    """How vLLM runs the model for its tasks, and that it fetches nothing: what requests point to is inlined before it.

    vLLM takes an empty list of media domains for all of them. How a pooling model pools, its architecture says.
    """
    pooling = set(args.tasks).isdisjoint(_GENERATING)
    return {"runner": "pooling" if pooling else "generate", "allowed_media_domains": [_NO_HOST]}


def lora_kwargs(args: WorkerArgs) -> dict[str, Any]:
    """vLLM's arguments for adapters: what is not set is enough for a few; without adapters none of them."""
    if not args.adapters:
        return {}
    extra = args.engine.extra
    in_memory = extra.max_cpu_loras or max(_CPU_LORAS, extra.max_loras or 0)
    return {
        "enable_lora": True,
        "max_loras": extra.max_loras or min(_LORAS, in_memory),
        "max_cpu_loras": in_memory,
        "max_lora_rank": extra.max_lora_rank or _LORA_RANK,
    }


def _across_nodes(args: WorkerArgs) -> dict[str, Any]:
    """Ray starts the engine's processes on the other nodes; in one node Ray Serve LLM and vLLM choose by themselves."""
    stages = args.engine.pipeline_parallel_size
    return {"pipeline_parallel_size": stages, "distributed_executor_backend": "ray"} if stages > 1 else {}


def bundles(args: WorkerArgs) -> list[dict[str, float]]:
    """Ray's resources for one replica: on accelerators one bundle for each, the CPUs in the first; else one bundle.

    vLLM takes no bundle with more than one accelerator.
    """
    if args.accelerator is None:
        return [{"CPU": args.cpus}]
    count = args.engine.tensor_parallel_size * args.engine.pipeline_parallel_size
    return [{"GPU": 1, "CPU": args.cpus} if index == 0 else {"GPU": 1} for index in range(count)]


def strategy(args: WorkerArgs) -> str:
    """Where Ray puts the bundles: in one node, or filling node after node.

    A worker pod has as many accelerators as tensor parallelism takes, so a full node is one stage of the pipeline.
    """
    return "STRICT_PACK" if args.engine.pipeline_parallel_size == 1 else "PACK"


def one_process(args: WorkerArgs) -> bool:
    """Whether scheduler and model can share a process: on a CPU without tensor parallelism (threads are set here)."""
    return args.accelerator is None and args.engine.tensor_parallel_size == 1


def engine_environment(args: WorkerArgs) -> dict[str, str]:
    """What vLLM reads from the environment; on a CPU the threads of each of its processes, and its cache in GiB.

    TORCHDYNAMO_DISABLE: vLLM compiles small functions even with enforce_eager, at the first request that needs them;
    that takes seconds to load, and a C++ compiler. VLLM_ENABLE_V1_MULTIPROCESSING: without it vLLM's CPU platform
    insists on a process of its own for the model. VLLM_MAX_IMAGE_PIXELS: whatever a URL says to be, vLLM looks at it.
    """
    always = {"VLLM_MAX_IMAGE_PIXELS": str(PIXELS), **_tracing(args)}
    if args.accelerator is not None:
        return always
    threads = max(1, math.floor(args.cpus / args.engine.tensor_parallel_size))
    cache = {} if args.kv_cache_gib is None else {"VLLM_CPU_KVCACHE_SPACE": str(args.kv_cache_gib)}
    threading = {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    executor = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} if one_process(args) else {}
    return {**threading, **executor, "TORCHDYNAMO_DISABLE": "1", **cache, **always}


def _tracing(args: WorkerArgs) -> dict[str, str]:
    """OpenTelemetry's own variables. Only what the gateway chose is traced: not probes, not warm-up."""
    if args.tracing_endpoint is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "llmservice-engine",
        "OTEL_RESOURCE_ATTRIBUTES": f"llmservice.model={quote(args.model_id, safe='')}",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }


def deployment_options(args: WorkerArgs) -> dict[str, Any]:
    """The options of the Serve deployment that do not come from LiveArgs; a replica's actor is in its first bundle.

    Health is asked every second. The replica itself sees that its engine hangs (liveness.py), and waits in the check
    while it starts another: Ray Serve gives that up after twice the time-out.
    """
    return {
        "name": DEPLOYMENT,
        "ray_actor_options": {"num_cpus": 0},
        "placement_group_bundles": bundles(args),
        "placement_group_strategy": strategy(args),
        "health_check_period_s": 1,
        "health_check_timeout_s": _RESTART_S / 2,
        "graceful_shutdown_wait_loop_s": 0.5,
        # access.py says more of a request than Ray Serve's line, and says it once.
        "logging_config": {"encoding": "JSON", "enable_access_log": False},
    }
