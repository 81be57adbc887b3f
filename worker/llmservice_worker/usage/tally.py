"""What the engine handed over for one request, counted: tokens of prompts, of their cached parts, of completions.

A request may call the engine several times (several prompts, a task's calls), and a call may have several completions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Completion(Protocol):
    """One completion of a call's prompt; with `n` there are several, told apart by `index`."""

    index: int
    token_ids: Sequence[int]


class Prompted(Protocol):
    """What any output of the engine says of its prompt; `num_cached_tokens` None: not known."""

    prompt_token_ids: Sequence[int] | None
    num_cached_tokens: int | None


class Generated(Prompted, Protocol):
    """An output of `generate`. The encoder's prompt is there for models that have one."""

    encoder_prompt_token_ids: Sequence[int] | None
    outputs: Sequence[Completion]


class Call:
    """One call of the engine. `is_delta`: each output holds only what is new, else all so far."""

    def __init__(self, is_delta: bool) -> None:
        self._is_delta = is_delta
        self._has_begun = False
        self._written: dict[int, int] = {}
        self.prompt_tokens = 0
        self.cached_tokens = 0

    @property
    def completion_tokens(self) -> int:
        """Of all completions so far."""
        return sum(self._written.values())

    def generated(self, output: Generated) -> None:
        """Count an output of `generate`."""
        self._begin(output, len(output.encoder_prompt_token_ids or ()))
        for completion in output.outputs:
            before, now = self._written.get(completion.index, 0), len(completion.token_ids)
            self._written[completion.index] = before + now if self._is_delta else max(before, now)

    def encoded(self, output: Prompted) -> None:
        """Count an output of `encode`, which writes nothing."""
        self._begin(output, 0)

    def _begin(self, output: Prompted, encoder_tokens: int) -> None:
        """The prompt counts once the engine has worked on it, and once, however many completions it has."""
        if self._has_begun:
            return
        self._has_begun = True
        self.prompt_tokens = len(output.prompt_token_ids or ()) + encoder_tokens
        self.cached_tokens = min(max(output.num_cached_tokens or 0, 0), self.prompt_tokens)


@dataclass
class Tally:
    """One request's. `id` is its event's; `model` is as asked for, None until the request has passed validation."""

    id: str
    model: str | None = None
    calls: list[Call] = field(default_factory=list)

    def begin(self, is_delta: bool = False) -> Call:
        """The count of a further call of the engine."""
        call = Call(is_delta)
        self.calls.append(call)
        return call

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts that the engine has answered."""
        return sum(call.prompt_tokens for call in self.calls)

    @property
    def cached_tokens(self) -> int:
        """Those of `prompt_tokens` that the cache of prefixes held."""
        return sum(call.cached_tokens for call in self.calls)

    @property
    def completion_tokens(self) -> int:
        """That the engine handed over, whether or not they reached the client."""
        return sum(call.completion_tokens for call in self.calls)
