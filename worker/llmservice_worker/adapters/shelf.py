"""Adapters that the engine holds: how one gets in, and how its files go once nothing reads them any more."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.files import Files
from llmservice_worker.fetch.failure import Reason

_log = logging.getLogger(__name__)

UNUSED_S: Final = 600.0
"""How long a withdrawn adapter's files stay: a request that was let in before may still be on its way to the engine."""
FORGET_S: Final = 30.0
"""How long an engine may take to forget an adapter: one that hangs must not hold up what changes beside it."""
ENGINE_AWAY: Final = "EngineAway"
"""The reason of a fault that is not the adapter's: there is no engine to load it at this moment."""


class Lora(Protocol):
    """The engine's part. A handle stands for one loaded version of an adapter."""

    async def load(self, name: str, directory: Path) -> str:
        """Load, and serve it under `name` in place of what bore the name; its handle. Raises Fault."""

    def withdraw(self, name: str) -> None:
        """No further request gets the adapter of this name."""

    def is_used(self, handle: str) -> bool:
        """Whether a request that runs or waits has this adapter."""

    async def forget(self, handle: str) -> None:
        """Its memory may be used for another."""


@dataclass(frozen=True)
class Loaded:
    """A version of an adapter that the engine holds."""

    source: str
    directory: Path
    handle: str


class Shelf:
    """Loads versions of adapters, and drops those that were withdrawn. `clock`: seconds that only grow."""

    def __init__(self, lora: Lora, files: Files, clock: Callable[[], float], forget_s: float = FORGET_S) -> None:
        self._lora = lora
        self._files = files
        self._clock = clock
        self._forget_s = forget_s
        self._withdrawn: list[tuple[float, Loaded]] = []

    async def load(self, name: str, source: str, place: AbstractAsyncContextManager[None] | None = None) -> Loaded:
        """The adapter of `source`, answering under `name`; raises Fault, and leaves nothing behind where it fails.

        `place` is entered when its files are here, and left when the engine has it or does not take it.
        """
        directory = await self._bring(source)
        try:
            async with place or nullcontext():
                return Loaded(source, directory, await self._lora.load(name, directory))
        except BaseException:
            self._files.drop(directory)
            raise

    async def _bring(self, source: str) -> Path:
        bringing = asyncio.ensure_future(asyncio.to_thread(self._files.bring, source))
        try:
            return await asyncio.shield(bringing)
        except asyncio.CancelledError:
            bringing.add_done_callback(self._drop_unwanted)  # its thread goes on
            raise
        except Fault:
            raise
        except Exception:  # noqa: BLE001 - whatever a source does, it breaks only this adapter
            _log.exception("adapter source %s", source)
            message = f"adapter source {source} could not be read: the worker's log has the details"
            raise Fault(Reason.SOURCE_UNREACHABLE, message) from None

    def withdraw(self, name: str, loaded: Loaded) -> None:
        """No further request gets it; its files go later."""
        self._lora.withdraw(name)
        self.replaced(loaded)

    def replaced(self, loaded: Loaded) -> None:
        """Another version has its name; its files go later."""
        self._withdrawn.append((self._clock(), loaded))

    def is_used(self, loaded: Loaded) -> bool:
        """Whether a request that runs or waits has it."""
        return self._lora.is_used(loaded.handle)

    async def sweep(self) -> None:
        """Drop what was withdrawn long enough ago and no request has any more; an engine that fails at it is logged."""
        while (gone := next(filter(self._is_over, self._withdrawn), None)) is not None:
            self._withdrawn.remove(gone)
            await self._forget(gone[1])

    def _is_over(self, withdrawn: tuple[float, Loaded]) -> bool:
        since, loaded = withdrawn
        return self._clock() - since >= UNUSED_S and not self.is_used(loaded)

    async def _forget(self, loaded: Loaded) -> None:
        try:
            await asyncio.wait_for(self._lora.forget(loaded.handle), self._forget_s)
        except Exception:  # noqa: BLE001 - an engine that hangs, or is away, says so elsewhere
            _log.exception("the engine does not forget adapter %s", loaded.handle)
        finally:
            self._files.drop(loaded.directory)

    def _drop_unwanted(self, bringing: "asyncio.Future[Path]") -> None:
        if not bringing.cancelled() and bringing.exception() is None:
            self._files.drop(bringing.result())
