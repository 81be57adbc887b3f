"""How much accelerator memory a model takes: arithmetic over what its config.json says and its files weigh. Pure.

What one accelerator holds of a replica on `n` of them:  weights / n  +  cache / min(n, KV heads)  +  overhead
"""

from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Final

from pydantic.alias_generators import to_camel, to_snake

from llmservice_api.base import amount
from llmservice_api.gpupool import Accelerator
from llmservice_api.llmservice import LLMServiceSpec, ModelSpec

Json = dict[str, Any]

GIB: Final = 2**30
_OVERHEAD: Final = 2 * GIB
"""Activations of a step, captured graphs and NCCL's buffers of one accelerator."""
_UTILIZATION: Final = 0.9
"""The part of an accelerator that the engine takes where `gpuMemoryUtilization` says nothing."""
_REQUEST_TOKENS: Final = 4096
"""What one of many requests holds in the cache; long ones are few."""
_REQUESTS: Final = 4
_BITS: Final = {"float32": 32, "float16": 16, "bfloat16": 16, "half": 16}
_QUANTIZED_BITS: Final = {"fp8": 8, "bitsandbytes": 5}
"""Of weights that the engine itself quantizes at loading; 4 bits and what they are scaled by."""


@dataclass(frozen=True)
class Shape:
    """What memory depends on. `weights`: bytes of the files; `cached`: numbers in the cache for one token.

    `stored_bits` of one weight, 0 where the files are quantized already. `kv_heads` share the cache, and as many parts.
    """

    weights: int
    stored_bits: int
    cached: int
    kv_heads: int
    heads: int
    max_tokens: int


def shape(config: Json, weights: int) -> Shape:
    """The shape of a model by its config.json. ValueError where that does not say enough."""
    text = config.get("text_config") or config
    try:
        heads, layers = int(text["num_attention_heads"]), _cached_layers(text)
        kv_heads = int(text.get("num_key_value_heads") or heads)
        if text.get("kv_lora_rank"):  # one latent for all heads, of which every accelerator has a copy
            kv_heads, numbers = 1, int(text["kv_lora_rank"]) + int(text["qk_rope_head_dim"])
        else:
            numbers = 2 * kv_heads * int(text.get("head_dim") or int(text["hidden_size"]) // heads)
        dtype = str(config.get("torch_dtype") or config.get("dtype") or text.get("torch_dtype") or text.get("dtype"))
        max_tokens = int(text["max_position_embeddings"])
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"config.json does not say how large a model it is of: {error!r}") from error
    if min(heads, kv_heads, numbers, max_tokens) < 1 or layers < 0:
        raise ValueError("config.json says that its model has no heads, or no positions")
    quantized = config.get("quantization_config") or text.get("quantization_config")
    return Shape(weights, 0 if quantized else _BITS.get(dtype, 16), layers * numbers, kv_heads, heads, max_tokens)


def remembered(status: Json, model: ModelSpec) -> Shape | None:
    """The shape that status has of this model; None where it has that of another, or none."""
    known = dict((status.get("model") or {}).get("shape") or {})
    if known.pop("of", None) != shape_of(model):
        return None
    try:
        return Shape(**{to_snake(key): value for key, value in known.items()})
    except TypeError:  # another version's
        return None


def to_wire(found: Shape, model: ModelSpec) -> Json:
    """As status has it."""
    return {"of": shape_of(model), **{to_camel(key): value for key, value in asdict(found).items()}}


def shape_of(model: ModelSpec) -> str:
    """What a shape is of: another source or revision is another model."""
    return f"{model.source}@{model.revision or 'main'}"


def _cached_layers(text: Json) -> int:
    """Layers that keep keys and values of every token; windows are counted as whole, to be on the safe side."""
    kinds = text.get("layer_types")
    if isinstance(kinds, list):
        return sum("linear" not in str(kind) and "attention" in str(kind) for kind in kinds)
    return int(text["num_hidden_layers"])


def needed(spec: LLMServiceSpec, model: Shape | None, accelerators: int) -> float:
    """Bytes that each of the `accelerators` of a replica must have; 0 where nothing is known of the model."""
    if spec.engine.memory is not None:
        return amount(spec.engine.memory) / accelerators
    if model is None:
        return 0
    cache = model.cached * _cached_bytes(spec) * _tokens(spec, model)
    tensor = max(accelerators // (spec.engine.pipeline_parallel or 1), 1)
    stages = accelerators / tensor
    return _weights(spec, model) / accelerators + cache / min(tensor, model.kv_heads) / stages + _OVERHEAD


def offered(spec: LLMServiceSpec, accelerator: Accelerator) -> float:
    """Bytes of one accelerator that the engine may take."""
    return amount(accelerator.memory) * (spec.engine.args.gpu_memory_utilization or _UTILIZATION)


def fewest(spec: LLMServiceSpec, model: Shape | None, accelerator: Accelerator) -> int | None:
    """Accelerators of one node that hold a stage: as many as the spec says, else a power of two; None: too small."""
    stages, room = spec.engine.pipeline_parallel or 1, offered(spec, accelerator)
    if spec.engine.tensor_parallel is not None:
        counts = [spec.engine.tensor_parallel]
    else:
        counts = [2**power for power in range(7) if power == 0 or _splits(model, 2**power)]
    return next((n for n in counts if n <= accelerator.per_node and needed(spec, model, n * stages) <= room), None)


def least(spec: LLMServiceSpec, model: Shape | None, accelerator: Accelerator) -> int:
    """Accelerators like this one that would hold a replica, were there as many in a node; for people to read."""
    room, stages = offered(spec, accelerator), spec.engine.pipeline_parallel or 1
    counts: list[int] = [2**power for power in range(11)]
    return next((n * stages for n in counts if needed(spec, model, n * stages) <= room), counts[-1])


def _splits(model: Shape | None, count: int) -> bool:
    return model is None or model.heads % count == 0


def _weights(spec: LLMServiceSpec, model: Shape) -> float:
    """Bytes once loaded: another type than the stored one, or quantized at loading, is another size."""
    if model.stored_bits == 0:
        return model.weights
    auto = min(model.stored_bits, 16)  # vLLM loads float32 as 16 bits unless told otherwise
    wanted = auto if spec.engine.dtype == "auto" else _BITS[spec.engine.dtype]
    bits = min(wanted, _QUANTIZED_BITS.get(spec.engine.quantization or "", inf))
    return model.weights * bits / model.stored_bits


def _cached_bytes(spec: LLMServiceSpec) -> int:
    if (spec.engine.args.kv_cache_dtype or "auto") != "auto":
        return 1
    return 4 if spec.engine.dtype == "float32" else 2


def _tokens(spec: LLMServiceSpec, model: Shape) -> int:
    """Tokens that the cache must hold: one request of the longest context that is asked for, or several usual ones."""
    requests = spec.scaling.target_queue_depth if spec.scaling else _REQUESTS
    usual = min(spec.engine.max_model_len or model.max_tokens, _REQUEST_TOKENS)
    return max(spec.engine.max_model_len or 0, requests * usual)
