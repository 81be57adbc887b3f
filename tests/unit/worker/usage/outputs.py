"""What vLLM's client hands over, as far as it is counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmservice_worker.usage import tally


@dataclass
class Completion:
    index: int
    token_ids: Sequence[int]


@dataclass
class Output:
    """Of `generate`; without completions, of `encode`."""

    prompt_token_ids: Sequence[int] | None = (1, 2, 3)
    num_cached_tokens: int | None = 0
    outputs: Sequence[tally.Completion] = ()
    encoder_prompt_token_ids: Sequence[int] | None = None


def output(*tokens: int, prompt: int = 3, cached: int | None = 0) -> Output:
    """So many tokens of each completion."""
    completions = [Completion(index, [0] * count) for index, count in enumerate(tokens)]
    return Output([0] * prompt, cached, completions)
