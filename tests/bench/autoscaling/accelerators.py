"""What an engine costs per step: one table of accelerators, one of models, and how constants follow from them.

No run on such a card was at hand, so nothing is fitted: rates are the makers' data sheets (A100 80GB SXM, H100 SXM, L4;
dense bf16), shapes the models' published config.json, and `EFFICIENCY` says what share of a rate an engine reaches.
With them an A100 answers Llama-3.1-8B at 12 ms per token alone and reads prompts at 9,700 tokens/s.
"""

from dataclasses import dataclass
from typing import Final

from tests.bench.autoscaling.kernel import Engine


@dataclass(frozen=True)
class Accelerator:
    """One card, or several that hold one replica together."""

    memory_bytes: float
    flops: float
    """Dense bf16 operations per second."""
    bandwidth: float
    """Bytes per second between its memory and its cores."""
    budget: int
    """Tokens per step: vLLM's default of `max_num_batched_tokens` for a server on this card."""
    seats: int
    """vLLM's default of `max_num_seqs` on this card."""


@dataclass(frozen=True)
class Model:
    """The shape of a dense decoder in bf16."""

    parameters: float
    layers: int
    hidden: int
    kv_heads: int
    head_size: int


@dataclass(frozen=True)
class Efficiency:
    """Shares of the data sheets' rates, and time per step that belongs to no tensor."""

    matrix: float = 0.5
    weights: float = 0.8
    cache: float = 0.6
    step_s: float = 2e-3
    sequence_s: float = 3e-5
    """Scheduling, sampling, detokenising."""
    memory: float = 0.9
    """vLLM's default of `gpu_memory_utilization`."""
    activations_bytes: float = 4e9


ACCELERATORS: Final = {
    "a100-80g": Accelerator(80e9, 312e12, 2.039e12, 2048, 256),
    "h100-80g": Accelerator(80e9, 989e12, 3.35e12, 8192, 1024),
    "l4-24g": Accelerator(24e9, 121e12, 0.300e12, 2048, 256),
}

LLAMA_8B: Final = Model(8.03e9, 32, 4096, 8, 128)

_BYTES_PER_NUMBER: Final = 2
_ONGOING_OVER_SEATS: Final = 2


def engine(accelerator: Accelerator, model: Model = LLAMA_8B, efficiency: Efficiency = Efficiency()) -> Engine:
    """The constants of one replica; raises ValueError where the weights leave no room for a cache."""
    weights = model.parameters * _BYTES_PER_NUMBER
    per_token = 2 * model.layers * model.kv_heads * model.head_size * _BYTES_PER_NUMBER
    cache = accelerator.memory_bytes * efficiency.memory - weights - efficiency.activations_bytes
    if cache < per_token:
        raise ValueError(f"{weights / 1e9:.0f} GB of weights leave no room for a cache: name a larger accelerator")
    matrix_flops = accelerator.flops * efficiency.matrix
    return Engine(
        budget=accelerator.budget,
        seats=accelerator.seats,
        cache=int(cache / per_token),
        ongoing=_ONGOING_OVER_SEATS * accelerator.seats,
        step_s=efficiency.step_s + weights / (accelerator.bandwidth * efficiency.weights),
        sequence_s=efficiency.sequence_s,
        context_s=per_token / (accelerator.bandwidth * efficiency.cache),
        prompt_s=2 * model.parameters / matrix_flops,
        attention_s=4 * model.layers * model.hidden / matrix_flops,
    )
