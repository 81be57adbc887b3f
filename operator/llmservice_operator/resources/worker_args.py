"""What a worker is told, from a service and the pool that it runs on."""

import math
from typing import Final, get_args

from llmservice_api.base import amount, seconds
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec, ModelSpec
from llmservice_worker.args import (
    MODELS_ROOT,
    Adapter,
    Engine,
    EngineExtra,
    LiveArgs,
    Scaling,
    Task,
    UserConfig,
    WorkerArgs,
)
from llmservice_worker.fetch.source import Source

_GIB: Final = 2**30
_BATCH: Final = 256
"""What vLLM batches at least where `maxNumSeqs` says nothing (its defaults are 256 and more)."""
_LONGEST_S: Final = 7 * 86400
"""What a longer time counts as for a worker."""


def claim_of(source: str) -> str | None:
    """The PersistentVolumeClaim of a pvc:// source, else None."""
    if not source.startswith("pvc://"):
        return None
    return source.removeprefix("pvc://").split("/", 1)[0]


def is_fetched(source: str) -> bool:
    """Whether a source is brought into the pod, rather than mounted."""
    return not source.startswith("pvc://")


def source_of(model: ModelSpec, pool: GPUPoolSpec) -> Source:
    """What is fetched for a model on a pool."""
    return Source(
        uri=model.source,
        revision=model.revision,
        sha256=model.sha256,
        endpoint=model.endpoint,
        pickles=pool.allow_pickled_weights,
    )


def local_source(model: ModelSpec, pool: GPUPoolSpec) -> str:
    """Where the worker finds the model: a mounted path for pvc://, else the directory that it is fetched into."""
    if is_fetched(model.source):
        return source_of(model, pool).directory()
    return f"{MODELS_ROOT}/{model.source.removeprefix('pvc://')}".rstrip("/")


def worker_args(name: str, spec: LLMServiceSpec, pool: GPUPoolSpec, tracing: str | None = None) -> WorkerArgs:
    """All that a running engine cannot change; `tracing` is the OTLP/HTTP base URL."""
    engine = spec.engine
    on_cpu = pool.accelerator is None
    return WorkerArgs(
        model_id=spec.model.name or name,
        aliases=tuple(sorted(spec.model.aliases)),
        source=local_source(spec.model, pool),
        source_uri=spec.model.source,
        pickled_weights=pool.allow_pickled_weights,
        engine=Engine(
            max_model_len=engine.max_model_len,
            dtype=engine.dtype,
            quantization=engine.quantization,
            tensor_parallel_size=engine.tensor_parallel or 1,
            pipeline_parallel_size=engine.pipeline_parallel or 1,
            trust_remote_code=spec.model.trust_remote_code,
            extra=EngineExtra(**engine.args.model_dump()),
        ),
        tasks=tasks(spec),
        media_hosts=tuple(sorted(spec.model.media_hosts)),
        adapters=bool(spec.adapters) or spec.dynamic_adapters is not None,
        tracing_endpoint=tracing,
        accelerator=pool.accelerator.resource if pool.accelerator else None,
        cpus=float(pool.worker.threads),
        kv_cache_gib=max(1, math.floor(amount(pool.worker.kv_cache) / _GIB)) if on_cpu else None,
    )


def tasks(spec: LLMServiceSpec) -> tuple[Task, ...]:
    """The model's tasks as the worker names them, always in the same order: another order is no other engine."""
    return tuple(task for task in get_args(Task) if task.capitalize() in spec.model.tasks)


def pods_of_a_replica(spec: LLMServiceSpec) -> int:
    """Worker pods that share one replica: one a stage of the pipeline."""
    return spec.engine.pipeline_parallel or 1


def bounds(spec: LLMServiceSpec, *, awake: int = 0) -> tuple[int, int]:
    """Fewest and most replicas: one fixed count, or the bounds of autoscaling.

    `awake`: fewest of one that is woken, as far as its most allows.
    """
    if spec.scaling is not None:
        least, most = spec.scaling.min_replicas, spec.scaling.max_replicas
    else:
        least = 1 if spec.replicas is None else spec.replicas
        most = max(least, 1)
    return max(least, min(awake, most)), most


def _user_config(spec: LLMServiceSpec) -> UserConfig:
    return UserConfig(
        adapters=tuple(Adapter(name=adapter.name, source=adapter.source) for adapter in spec.adapters),
        dynamic_adapters=spec.dynamic_adapters.source.rstrip("/") if spec.dynamic_adapters else None,
        templates=spec.task_templates.to_wire(),
        max_requests=(spec.engine.args.max_num_seqs or _BATCH) + spec.hold.max_requests,
    )


def live_args(spec: LLMServiceSpec, *, awake: int = 0) -> LiveArgs:
    """What a running engine takes over; `awake`: as of bounds."""
    return LiveArgs(
        scaling=_scaling(spec, awake=awake),
        user_config=_user_config(spec),
        drain_s=_told(spec.rollout.drain),
    )


def _told(duration: str) -> float:
    return min(seconds(duration), _LONGEST_S)


def _scaling(spec: LLMServiceSpec, *, awake: int) -> Scaling:
    least, most = bounds(spec, awake=awake)
    if spec.scaling is None:
        return Scaling(min_replicas=least, max_replicas=most)
    return Scaling(
        min_replicas=least,
        max_replicas=most,
        target_queue_depth=spec.scaling.target_queue_depth,
        up_delay_s=_told(spec.scaling.up_delay),
        down_delay_s=_told(spec.scaling.down_delay),
        idle_after_s=_told(spec.scaling.idle_after),
    )
