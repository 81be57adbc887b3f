"""How vLLM runs a model: the engine arguments that may be set, typed; no other reaches the engine."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_api.base import INT32_MAX, ApiModel, Quantity, rules
from llmservice_worker.args import EngineExtra

Count = Annotated[int, Field(ge=1, le=INT32_MAX)]


class EngineArgs(ApiModel, EngineExtra):
    """vLLM engine arguments by their own names in camelCase; one that is absent keeps vLLM's default.

    Which there are is decided where they are used, in the worker's arguments.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.maxLoras) || !has(self.maxCpuLoras) || self.maxLoras <= self.maxCpuLoras",
                "maxLoras is over maxCpuLoras: an adapter in a batch is in memory too",
            )
        )
    )


class Engine(ApiModel):
    """How vLLM runs the model."""

    max_model_len: Count | None = Field(default=None, description="Longest context in tokens; default: what fits.")
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = Field(default="auto", description="Weights' data type.")
    quantization: Literal["awq", "gptq", "fp8", "bitsandbytes", "compressed-tensors", "gguf"] | None = Field(
        default=None, description="How the weights are quantized; default: as the model says."
    )
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None,
        description="Accelerators that share one replica; default: the fewest that hold it, 1 where that is unknown.",
    )
    pipeline_parallel: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Nodes that share one replica, each with tensorParallel accelerators; default: 1."
    )
    memory: Quantity | None = Field(
        default=None,
        description="Accelerator memory of one replica: weights, cache, overhead; default: estimated where possible.",
    )
    args: EngineArgs = Field(default=EngineArgs(), description="Further vLLM engine arguments.")
