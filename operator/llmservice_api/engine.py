"""How vLLM runs a model: the engine arguments that may be set, typed; no other reaches the engine."""

from typing import Annotated, Literal

from pydantic import Field

from llmservice_api.base import INT32_MAX, ApiModel

Count = Annotated[int, Field(ge=1, le=INT32_MAX)]


class EngineArgs(ApiModel):
    """vLLM engine arguments by their own names in camelCase; one that is absent keeps vLLM's default."""

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
    seed: Annotated[int, Field(ge=0, le=INT32_MAX)] | None = Field(default=None, description="Random seed.")
    tokenizer_mode: Literal["auto", "slow", "mistral"] | None = Field(default=None, description="Tokenizer.")
    tool_call_parser: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)] | None = Field(
        default=None, description="How tool calls are read from the output."
    )
    enable_auto_tool_choice: bool | None = Field(default=None, description="Let the model choose tools.")
    reasoning_parser: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)] | None = Field(
        default=None, description="How reasoning is read from the output."
    )


class Engine(ApiModel):
    """How vLLM runs the model."""

    max_model_len: Count | None = Field(default=None, description="Longest context in tokens; default: what fits.")
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = Field(default="auto", description="Weights' data type.")
    quantization: Literal["awq", "gptq", "fp8", "bitsandbytes", "compressed-tensors", "gguf"] | None = Field(
        default=None, description="How the weights are quantized; default: as the model says."
    )
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Accelerators that share one replica; default: 1."
    )
    args: EngineArgs = Field(default=EngineArgs(), description="Further vLLM engine arguments.")
