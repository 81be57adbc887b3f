"""vLLM's part in adapters: versions under names of their own, so that none is answered from another's cache.

vLLM's cache of prefixes knows an adapter by its name alone: one that was replaced would go on from the old one's
cache. So each version is `<name>@<number>` in the engine, and `<name>` for clients.
"""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.shelf import ENGINE_AWAY

_log = logging.getLogger(__name__)

_AT: Final = "@"
_SHOWN: Final = 300
_CALL: Final = "Call to add_lora method failed: "


def public_name(handle: str) -> str:
    """The name that clients know a version by."""
    return handle.rpartition(_AT)[0]


class EngineLora:
    """`models` and `client` give vLLM's OpenAIServingModels and AsyncLLM as they are now; `request` its LoRARequest."""

    def __init__(self, models: Callable[[], Any], client: Callable[[], Any], request: Callable[..., Any]) -> None:
        self._models = models
        self._client = client
        self._request = request
        self._count = 0

    async def load(self, name: str, directory: Path) -> str:
        """Load a version and serve it under `name`; its handle. Raises Fault where the engine does not take it."""
        self._count += 1
        number, handle = self._count, f"{name}{_AT}{self._count}"
        request = self._request(lora_name=handle, lora_int_id=number, lora_path=str(directory))
        try:
            await self._client().add_lora(request)
        except Exception as error:  # noqa: BLE001 - whatever the engine says of it, it breaks only this adapter
            _log.exception("the engine does not load adapter %s", name)
            with contextlib.suppress(Exception):  # what it may have taken of it; a dead engine says so elsewhere
                await self._client().remove_lora(number)
            reason = ENGINE_AWAY if self._client().errored else "EngineRefused"
            raise Fault(reason, f"the engine does not load it: {_said(error, directory)}") from None
        self._models().lora_requests[name] = request
        return handle

    def withdraw(self, name: str) -> None:
        """No further request gets the adapter of this name."""
        self._models().lora_requests.pop(name, None)

    def is_used(self, handle: str) -> bool:
        """Whether a request that runs or waits has this adapter."""
        states = self._client().output_processor.request_states.values()
        return any(state.lora_name == handle for state in states)

    async def forget(self, handle: str) -> None:
        """Take it out of the engine's memory; one that is not there is no error."""
        await self._client().remove_lora(int(handle.rpartition(_AT)[2]))


def answer_with_public_names(models: Any) -> None:
    """Let vLLM's answers name an adapter as its client does."""
    own = models.model_name

    def model_name(lora_request: Any = None) -> str:
        found: str = own(lora_request)
        return found if lora_request is None else public_name(found)

    models.model_name = model_name


def _said(error: Exception, directory: Path) -> str:
    text = str(error).replace(str(directory), "the adapter").removeprefix(_CALL) or type(error).__name__
    return text.splitlines()[-1][:_SHOWN]
