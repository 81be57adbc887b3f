"""Counting where the tokens are: at the engine's client, so that every dialect, task and stream counts alike."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from llmservice_worker.usage.tally import Tally

_DELTA: Final = "DELTA"
"""vLLM's name for outputs that hold only what is new."""

Outputs = AsyncGenerator[Any, None]


def count_outputs(client: Any, tally: Callable[[], Tally | None]) -> None:
    """Let `client` (vLLM's AsyncLLM) count what it hands over into the tally of the request that calls it.

    Without a tally (warm-up) its outputs pass as they are. The tally is asked for at the call: who goes through the
    outputs may be another task.
    """
    generate, encode = client.generate, client.encode

    def generated(prompt: Any, sampling_params: Any, request_id: str, **options: Any) -> Outputs:
        outputs: Outputs = generate(prompt, sampling_params, request_id, **options)
        current = tally()
        if current is None:
            return outputs
        return _counted(outputs, current.begin(sampling_params.output_kind.name == _DELTA).generated)

    def encoded(*given: Any, **options: Any) -> Outputs:
        outputs: Outputs = encode(*given, **options)
        current = tally()
        return outputs if current is None else _counted(outputs, current.begin().encoded)

    client.generate, client.encode = generated, encoded


async def _counted(outputs: Outputs, count: Callable[[Any], None]) -> Outputs:
    async with aclosing(outputs):  # an engine that is not told works on for nobody
        async for output in outputs:
            count(output)
            yield output
