"""What outputs of the engine count as."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.usage.tally import Call, Tally
from tests.unit.worker.usage.outputs import Completion, Output, output

GENERATED: dict[str, tuple[bool, list[Output], tuple[int, int, int]]] = {
    "nothing handed over": (False, [], (0, 0, 0)),
    "a whole answer": (False, [output(5)], (3, 0, 5)),
    "all so far, each time": (False, [output(1), output(2), output(5)], (3, 0, 5)),
    "only what is new": (True, [output(1), output(1), output(3)], (3, 0, 5)),
    "an end without a token": (True, [output(4), output(0)], (3, 0, 4)),
    "two completions, whole": (False, [output(5, 7)], (3, 0, 12)),
    "two completions, in turns": (
        True,
        [Output(outputs=[Completion(index, [0] * count)]) for index, count in ((1, 1), (0, 2), (1, 1))],
        (3, 0, 4),
    ),
    "a cached prompt": (False, [output(1, prompt=16, cached=12)], (16, 12, 1)),
    "what is cached is said at first": (True, [output(1, cached=2), output(1, cached=0)], (3, 2, 2)),
    "it is not known what is cached": (False, [output(1, cached=None)], (3, 0, 1)),
    "more cached than there is": (False, [output(1, cached=9)], (3, 3, 1)),
    "a first output without a token": (True, [output(0)], (3, 0, 0)),
    "an encoder's prompt": (False, [Output((1,), 0, [Completion(0, [0])], (4, 5, 6))], (4, 0, 1)),
    "no prompt is said": (False, [Output(None, None, [Completion(0, [0])])], (0, 0, 1)),
    "so far, and then less": (False, [output(4), output(0)], (3, 0, 4)),
}  # fmt: skip


@pytest.mark.parametrize(("is_delta", "outputs", "counted"), GENERATED.values(), ids=GENERATED)
def test_a_call_counts_what_was_handed_over(
    is_delta: bool, outputs: Sequence[Output], counted: tuple[int, int, int]
) -> None:
    call = Call(is_delta)
    for each in outputs:
        call.generated(each)
    assert (call.prompt_tokens, call.cached_tokens, call.completion_tokens) == counted


def test_an_encoded_prompt_counts_once_and_writes_nothing() -> None:
    call = Call(is_delta=False)
    call.encoded(output(prompt=7, cached=2))
    call.encoded(output(prompt=7, cached=2))
    assert (call.prompt_tokens, call.cached_tokens, call.completion_tokens) == (7, 2, 0)


def test_a_request_counts_all_of_its_calls() -> None:
    tally = Tally("a")
    tally.begin().encoded(output(prompt=4, cached=1))
    tally.begin(is_delta=True).generated(output(2, prompt=5))
    tally.begin()
    assert (tally.prompt_tokens, tally.cached_tokens, tally.completion_tokens) == (9, 1, 2)


@given(
    completions=st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    prompt=st.integers(0, 50),
    cached=st.none() | st.integers(0, 60),
)
def test_deltas_in_any_order_and_what_they_add_up_to_count_alike(
    completions: list[list[int]], order: random.Random, prompt: int, cached: int | None
) -> None:
    new = [(index, count) for index, parts in enumerate(completions) for count in parts]
    order.shuffle(new)
    by_delta, by_sum = Call(is_delta=True), Call(is_delta=False)
    so_far = [0] * len(completions)
    for index, count in new:
        so_far[index] += count
        by_delta.generated(Output([0] * prompt, cached, [Completion(index, [0] * count)]))
        by_sum.generated(Output([0] * prompt, cached, [Completion(index, [0] * so_far[index])]))
    assert by_delta.completion_tokens == by_sum.completion_tokens == sum(map(sum, completions))
    assert by_delta.prompt_tokens == by_sum.prompt_tokens == (prompt if new else 0)
    assert 0 <= by_delta.cached_tokens == by_sum.cached_tokens <= by_delta.prompt_tokens
