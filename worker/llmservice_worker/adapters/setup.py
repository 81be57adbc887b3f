"""The adapters of a replica's engine, put together from the worker's arguments; what Ray Serve tells it of them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from llmservice_worker.adapters.adapters import Adapters
from llmservice_worker.adapters.checks import Base, base_tensors
from llmservice_worker.adapters.engine import EngineLora
from llmservice_worker.adapters.files import AdapterFiles
from llmservice_worker.args import UserConfig, WorkerArgs
from llmservice_worker.llm_config import lora_kwargs

_log = logging.getLogger(__name__)

ROOT: Final = Path("/cache/adapters")
FIRST_S: Final = 60.0
"""How long a replica that starts waits for its adapters: one whose source does not answer must not keep it away."""


def adapters_of(
    args: WorkerArgs, engine: Callable[[], Any], request: Callable[..., Any], env: Mapping[str, str]
) -> Adapters:
    """`engine` gives Ray's vLLM engine as it is now, `request` is vLLM's LoRARequest; nothing is loaded yet."""
    from llmservice_worker.adapters.fetching import (
        AdapterFetch,  # its libraries: not on the head, which imports this too
    )

    wanted = lora_kwargs(args)
    lora = EngineLora(lambda: engine()._oai_models, lambda: engine()._engine_client, request)
    source = Path(args.source)
    base = Base(wanted["max_lora_rank"], base_tensors(source) if source.is_absolute() else {})
    files = AdapterFiles(ROOT, base, AdapterFetch(env), shared=args.engine.pipeline_parallel_size > 1)
    names = (args.model_id, *args.aliases)
    return Adapters(names, lora, files, capacity=wanted["max_cpu_loras"], clock=time.monotonic)


def user_config(value: Mapping[str, Any]) -> UserConfig | None:
    """What Ray Serve hands over; None, and said in the log, where it is not what it must be: nothing changes then."""
    try:
        return UserConfig.model_validate(value)
    except ValidationError:
        _log.exception("user_config is not what it must be: the one before stays")
        return None


async def tried_in_time(adapters: Adapters) -> None:
    """Returns when each adapter of the spec was tried once, or when the replica should wait no longer."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(adapters.tried(), FIRST_S)
