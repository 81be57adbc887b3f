"""The contract with the operator: what a worker is told. Pydantic only, so that the operator can import it."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

INT32_MAX: Final = 2**31 - 1
MODELS_ROOT: Final = "/models"
"""Where volumes are mounted, each by its claim's name."""

Count = Annotated[int, Field(ge=1, le=INT32_MAX, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=86400 * 7, allow_inf_nan=False)]
ServedName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", min_length=1, max_length=128)]
Host = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
Task = Literal["generate", "embed", "score", "classify", "transcribe"]
Parser = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]

TEMPLATE_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "classify": ("text", "labels", "instructions"),
    "summarize": ("text", "words", "sentences", "language"),
    "translate": ("text", "target", "source"),
    "answer": ("question", "context"),
    "code": ("instruction", "language", "code"),
}
"""Task of /v1/tasks/<task> → fields of its request that a template may name in braces; it must name the first."""


class Part(BaseModel):
    """A part of the contract: unknown fields are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineExtra(Part):
    """The further vLLM engine arguments that may be set, by vLLM's own names; one that is None keeps vLLM's default."""

    max_num_seqs: Count | None = Field(default=None, description="Most sequences in one batch.")
    max_num_batched_tokens: Count | None = Field(default=None, description="Most tokens in one step.")
    gpu_memory_utilization: Annotated[float, Field(ge=0.05, le=1.0)] | None = Field(
        default=None, description="Part of an accelerator's memory that the engine may take."
    )
    enforce_eager: bool | None = Field(default=None, description="True: no graph capture (faster start).")
    enable_prefix_caching: bool | None = Field(default=None, description="Keep the cache of shared prefixes.")
    enable_chunked_prefill: bool | None = Field(default=None, description="Mix prompts in pieces with decoding.")
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"] | None = Field(
        default=None, description="Data type of the KV cache."
    )
    block_size: Literal[8, 16, 32, 64, 128] | None = Field(default=None, description="Tokens in a cache block.")
    seed: Annotated[int, Field(ge=0, le=INT32_MAX, strict=True)] | None = Field(
        default=None, description="Random seed."
    )
    tokenizer_mode: Literal["auto", "slow", "mistral"] | None = Field(default=None, description="Tokenizer.")
    tool_call_parser: Parser | None = Field(default=None, description="How tool calls are read from the output.")
    enable_auto_tool_choice: bool | None = Field(default=None, description="Let the model choose tools.")
    reasoning_parser: Parser | None = Field(default=None, description="How reasoning is read from the output.")
    limit_mm_per_prompt: dict[Literal["image", "audio", "video"], Annotated[int, Field(ge=0, le=64)]] | None = Field(
        default=None, description="Most images, audios and videos in one request."
    )
    max_loras: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Most adapters in one batch."
    )
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256] | None = Field(
        default=None, description="Largest rank of an adapter."
    )
    max_cpu_loras: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Most adapters kept in memory; the least recently used goes."
    )


class Engine(Part):
    """How vLLM runs the model."""

    max_model_len: Count | None = Field(default=None, description="Longest context in tokens; None: what fits.")
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = Field(default="auto", description="Weights' data type.")
    quantization: str | None = Field(
        default=None, pattern=r"^[a-z0-9_-]+$", max_length=64, description="None: as the model's config.json says."
    )
    tensor_parallel_size: Annotated[int, Field(ge=1, le=64, strict=True)] = Field(
        default=1, description="Accelerators (or CPU processes) that share one replica."
    )
    pipeline_parallel_size: Annotated[int, Field(ge=1, le=64, strict=True)] = Field(
        default=1, description="Nodes that share one replica, each with `tensor_parallel_size` accelerators."
    )
    trust_remote_code: bool = Field(default=False, description="Whether the model may run code of its own.")
    extra: EngineExtra = Field(default=EngineExtra(), description="Further vLLM engine arguments.")


LEDGER_URL: Final = "LLMSERVICE_LEDGER_URL"
"""Variable of a replica: base URL of the ledger that takes usage events; without it no usage is counted."""
LEDGER_TOKEN: Final = "LLMSERVICE_LEDGER_TOKEN"
"""Variable of a replica: the file with its token for the ledger, written anew as it expires."""
SPOOL: Final = "/var/spool/llmservice"
"""Where a replica keeps usage events until the ledger has them: a volume of SPOOL_MIB."""
SPOOL_MIB: Final = 64

Name = Annotated[str, Field(min_length=1, max_length=253)]


class Origin(Part):
    """What a usage event says of where it comes from."""

    namespace: Name = Field(description="The tenant.")
    service: Name = Field(description="The LLMService.")
    revision: Name = Field(description="Its revision.")


class WorkerArgs(Part):
    """What needs a new engine when it changes: the `args` of the Serve application, and part of the revision's hash."""

    model_id: ServedName = Field(description="Name in the API; may hold '/'.")
    aliases: tuple[ServedName, ...] = Field(default=(), max_length=16, description="Further names in the API.")
    source: str = Field(
        min_length=1, max_length=1024, description="An absolute local path: a mounted volume, or what was fetched."
    )
    source_uri: str | None = Field(
        default=None, max_length=1024, description="What the user named (pvc://…), for messages; None: `source`."
    )
    pickled_weights: bool = Field(default=False, description="Whether weights other than safetensors may be loaded.")
    engine: Engine = Field(default=Engine(), description="How vLLM runs the model.")
    tasks: tuple[Task, ...] = Field(
        default=("generate",), min_length=1, max_length=5, description="What it is asked for: which routes exist."
    )
    media_hosts: tuple[Host, ...] = Field(
        default=(), max_length=64, description="Hosts that images and audios of requests may come from."
    )
    adapters: bool = Field(default=False, description="Whether the engine is started fit for LoRA adapters.")
    tracing_endpoint: str | None = Field(
        default=None, max_length=1024, description="OTLP/HTTP endpoint for traces; None: no traces."
    )
    accelerator: str | None = Field(
        default=None, max_length=128, description="Resource of one accelerator (nvidia.com/gpu); None: a CPU pool."
    )
    cpus: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)] = Field(
        default=1.0, description="CPUs that Ray counts for one replica; on a CPU pool also its threads."
    )
    kv_cache_gib: Annotated[int, Field(ge=1, le=4096, strict=True)] | None = Field(
        default=None, description="KV cache of one replica on a CPU pool, GiB; None: vLLM's default."
    )
    origin: Origin | None = Field(default=None, description="Whose usage it is; None: no usage is counted.")

    @model_validator(mode="after")
    def _aliases_are_other_names(self) -> "WorkerArgs":
        if self.model_id in self.aliases or len(set(self.aliases)) != len(self.aliases):
            raise ValueError("aliases must differ from model_id and from each other")
        return self

    @property
    def is_mounted(self) -> bool:
        """Whether every pod of the service has the model, the head too; else only workers do, which fetch it."""
        return self.source_uri is None or self.source_uri.startswith("pvc://")

    @property
    def named_source(self) -> str:
        """The model's source as its owner knows it, never a path of ours where there is a better name."""
        return self.source_uri or self.source


class Scaling(Part):
    """Bounds and aims of autoscaling on queue depth; a fixed count has min_replicas == max_replicas."""

    min_replicas: Annotated[int, Field(ge=0, le=1000, strict=True)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    target_queue_depth: Annotated[float, Field(ge=1, le=10000, allow_inf_nan=False)] = Field(
        default=4, description="Waiting and running requests per replica that scaling aims at."
    )
    up_delay_s: Seconds = Field(default=0, description="How long more must be wanted before replicas are added.")
    down_delay_s: Seconds = Field(default=120, description="How long fewer must be wanted before replicas go.")
    idle_after_s: Seconds = Field(default=900, description="Idle time after which the last replica goes (min 0).")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is over max_replicas")
        return self


ADAPTER_ENDPOINTS: Final = {"hf": "LLMSERVICE_ADAPTERS_HF_ENDPOINT", "s3": "LLMSERVICE_ADAPTERS_S3_ENDPOINT"}
"""Variables of a replica with the mirror of the hub, and the S3 server (also for gs://), that adapters come from."""


ScalingCause = Literal["Rate", "QueueDepth", "Idle", "Bounds"]
"""Why replicas were ordered or taken away, as a replica's `/state` says it of Ray Serve's controller."""

AdapterState = Literal["Loading", "Loaded", "Failed"]
"""How it stands with an adapter, as a replica's `/state` says it."""


class Adapter(Part):
    """A LoRA adapter that is named in the spec."""

    name: ServedName = Field(description="Name in the API.")
    source: str = Field(min_length=1, max_length=1024, description="As the user named it (pvc://…, s3://…, hf://…).")


class UserConfig(Part):
    """Ray Serve's `user_config`: replicas take it over as they run."""

    adapters: tuple[Adapter, ...] = Field(default=(), max_length=64, description="Adapters to load.")
    dynamic_adapters: str | None = Field(
        default=None, max_length=1024, description="Where `<model>:<name>` is loaded from at first use; None: nowhere."
    )
    templates: dict[str, Annotated[str, Field(max_length=8192)]] = Field(
        default={}, description="Task → prompt template of /v1/tasks/<task>, in place of ours."
    )
    max_requests: Count = Field(
        default=512, description="Requests that one replica takes at once, those that wait included; more get 503."
    )


class LiveArgs(Part):
    """What a running engine takes over without a restart: the `deployments` of the Serve application."""

    scaling: Scaling = Scaling()
    user_config: UserConfig = UserConfig()
    drain_s: Seconds = Field(default=300, description="How long a replica that is to go may finish what it has begun.")
