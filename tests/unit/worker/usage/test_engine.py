"""Counting at the engine's client: what passes by counts into the tally of whoever called."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from llmservice_worker.usage.engine import count_outputs
from llmservice_worker.usage.tally import Tally
from tests.unit.worker.usage.outputs import Output, output

Kind = Enum("Kind", "CUMULATIVE DELTA FINAL_ONLY")


class EngineDead(Exception):
    """As vLLM's client says it."""


class Client:
    """vLLM's AsyncLLM, which hands over what it is told to."""

    def __init__(self, *outputs: Output | Exception) -> None:
        self.outputs = outputs
        self.closed = 0
        self.asked: list[Any] = []

    async def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, *, priority: int = 0
    ) -> AsyncGenerator[Output, None]:
        async with aclosing(self._hand_over(prompt, sampling_params.output_kind.name, request_id, priority)) as outputs:
            async for each in outputs:
                yield each

    async def encode(self, prompt: Any, pooling_params: Any, request_id: str) -> AsyncGenerator[Output, None]:
        async for each in self._hand_over(prompt, pooling_params, request_id):
            yield each

    async def _hand_over(self, *asked: Any) -> AsyncGenerator[Output, None]:
        self.asked.append(asked)
        try:
            for each in self.outputs:
                if isinstance(each, Exception):
                    raise each
                yield each
        finally:
            self.closed += 1


def params(kind: Kind) -> Any:
    """vLLM's SamplingParams, as far as they are looked at."""
    return SimpleNamespace(output_kind=kind)


def metered(client: Client, tally: Tally | None) -> Client:
    """`client`, counting."""
    count_outputs(client, lambda: tally)
    return client


@pytest.mark.parametrize(("kind", "tokens"), [(Kind.CUMULATIVE, 3), (Kind.FINAL_ONLY, 3), (Kind.DELTA, 6)])
async def test_outputs_are_counted_by_their_kind_and_pass_as_they_are(kind: Kind, tokens: int) -> None:
    tally, outputs = Tally("t"), [output(1), output(2), output(3)]
    client = metered(Client(*outputs), tally)
    found = [each async for each in client.generate("p", params(kind), "r", priority=2)]
    assert all(left is right for left, right in zip(found, outputs, strict=True))
    assert (tally.prompt_tokens, tally.completion_tokens) == (3, tokens)
    assert client.asked == [("p", kind.name, "r", 2)]


async def test_named_arguments_reach_the_engine_too() -> None:
    client = metered(Client(output(1)), Tally("t"))
    found = [each async for each in client.generate(prompt="p", sampling_params=params(Kind.DELTA), request_id="r")]
    assert len(found) == 1
    assert client.asked == [("p", "DELTA", "r", 0)]


async def test_encoded_prompts_are_counted() -> None:
    tally = Tally("t")
    client = metered(Client(output(prompt=9, cached=4)), tally)
    assert len([each async for each in client.encode("p", "pooling", request_id="r")]) == 1
    assert (tally.prompt_tokens, tally.cached_tokens, tally.completion_tokens) == (9, 4, 0)


async def test_without_a_tally_outputs_pass_uncounted() -> None:
    client = metered(Client(output(1)), None)
    assert len([each async for each in client.generate("p", params(Kind.DELTA), "r")]) == 1
    assert len([each async for each in client.encode("p", "pooling", "r")]) == 1


async def test_who_calls_is_billed_also_where_another_task_goes_through_the_outputs() -> None:
    tally, callers = Tally("t"), [True]
    client = Client(output(2), output(2))
    count_outputs(client, lambda: tally if callers else None)
    outputs = client.generate("p", params(Kind.DELTA), "r")
    callers.clear()

    async def read() -> int:
        return len([each async for each in outputs])

    assert await asyncio.create_task(read()) == 2
    assert tally.completion_tokens == 4


async def test_a_client_that_leaves_ends_the_engines_work_and_pays_what_it_got() -> None:
    tally = Tally("t")
    client = metered(Client(output(1), output(1), output(1)), tally)
    async with aclosing(client.generate("p", params(Kind.DELTA), "r")) as outputs:
        await anext(outputs)
        await anext(outputs)
    assert (tally.prompt_tokens, tally.completion_tokens, client.closed) == (3, 2, 1)


async def test_an_engine_that_dies_is_paid_for_what_it_handed_over() -> None:
    tally = Tally("t")
    client = metered(Client(output(4), EngineDead()), tally)
    with pytest.raises(EngineDead):
        _ = [each async for each in client.generate("p", params(Kind.DELTA), "r")]
    assert (tally.prompt_tokens, tally.completion_tokens, client.closed) == (3, 4, 1)


async def test_an_engine_that_dies_before_its_first_output_costs_nothing() -> None:
    tally = Tally("t")
    client = metered(Client(EngineDead()), tally)
    with pytest.raises(EngineDead):
        _ = [each async for each in client.generate("p", params(Kind.DELTA), "r")]
    assert (tally.prompt_tokens, tally.completion_tokens) == (0, 0)
