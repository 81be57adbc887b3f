"""The adapters of a running engine: what the spec names is loaded and kept, the rest is loaded as it is asked for.

wanted ──bring, check, load──► Loaded ──taken from the spec──► withdrawn ──unused, a while later──► dropped
   └──fault──► Failed ──a while later, from the start──┘
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.dynamic import DynamicAdapters
from llmservice_worker.adapters.files import Files
from llmservice_worker.adapters.shelf import Loaded, Lora, Shelf
from llmservice_worker.args import Adapter, AdapterState, UserConfig
from llmservice_worker.errors import Refused, unknown_model

_log = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""After how long an adapter that failed is tried again."""


@dataclass(frozen=True)
class Standing:
    """How it stands with one adapter of the spec."""

    adapter: Adapter
    state: AdapterState
    reason: str | None = None
    message: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """As `/state` has it; `source` tells a changed adapter from one that kept its name."""
        parts = {"name": self.adapter.name, "source": self.adapter.source, "state": self.state}
        return parts | {key: text for key, text in (("reason", self.reason), ("message", self.message)) if text}


@dataclass(frozen=True)
class Steps:
    """From what is held to what is wanted: names that go, adapters that come (anew, where the source is another)."""

    unload: tuple[str, ...]
    load: tuple[Adapter, ...]


def steps(wanted: Iterable[Adapter], held: Mapping[str, str]) -> Steps:
    """`held`: name → source of what is loaded, or on its way."""
    by_name = {adapter.name: adapter for adapter in wanted}
    return Steps(
        unload=tuple(sorted(set(held) - set(by_name))),
        load=tuple(adapter for name, adapter in by_name.items() if held.get(name) != adapter.source),
    )


class Adapters:
    """All adapters of one engine. `bases`: the model's id and aliases; `capacity`: most dynamic ones at once."""

    def __init__(
        self,
        bases: Sequence[str],
        lora: Lora,
        files: Files,
        *,
        capacity: int,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bases = tuple(bases)
        self._pause = pause
        self._shelf = Shelf(lora, files, clock)
        self._dynamic = DynamicAdapters(bases, self._shelf, capacity, clock)
        self._standings: dict[str, Standing] = {}
        self._loaded: dict[str, Loaded] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tried: dict[str, asyncio.Event] = {}

    def state(self) -> list[dict[str, Any]]:
        """How it stands with each adapter of the spec, in the spec's order."""
        return [standing.to_wire() for standing in self._standings.values()]

    def names(self) -> dict[str, str]:
        """Every adapter that answers now, and the model that it is one of."""
        return dict.fromkeys((*self._loaded, *self._dynamic.names()), self._bases[0])

    async def take_over(self, config: UserConfig) -> None:
        """What is wanted from now on. Loading goes on by itself, and an adapter's fault is only told by `state`."""
        todo = steps(config.adapters, {name: each.adapter.source for name, each in self._standings.items()})
        for name in todo.unload:
            self._stop(name)
            self._withdraw(name)
        for adapter in todo.load:
            self._stop(adapter.name)
            self._begin(adapter)
        self._standings = {adapter.name: self._standings[adapter.name] for adapter in config.adapters}
        self._dynamic.take_over(config.dynamic_adapters)
        await self._shelf.sweep()

    def load_anew(self) -> None:
        """The engine is a new one and holds nothing: each adapter of the spec is loaded as at the start."""
        adapters = [standing.adapter for standing in self._standings.values()]
        for adapter in adapters:
            self._stop(adapter.name)
            self._withdraw(adapter.name)
            self._begin(adapter)
        self._dynamic.withdraw_all()

    async def tried(self) -> None:
        """Returns when each adapter of the spec was tried once."""
        for event in list(self._tried.values()):
            await event.wait()

    async def ensure(self, model: str) -> None:
        """Returns when `model` can be asked for, raises Refused where it cannot; loads a dynamic adapter."""
        if model in self._bases or model in self._loaded:
            return
        standing = self._standings.get(model)
        if standing is None:
            await self._dynamic.ensure(model)
        elif standing.state == "Failed":
            raise unknown_model(model)
        else:
            raise Refused(503, "The adapter is being loaded: retry later.", "model")

    def _begin(self, adapter: Adapter) -> None:
        self._standings[adapter.name] = Standing(adapter, "Loading")
        self._tried[adapter.name] = asyncio.Event()
        self._tasks[adapter.name] = asyncio.create_task(self._keep_trying(adapter))

    def _stop(self, name: str) -> None:
        if name in self._standings:
            self._tasks.pop(name).cancel()
            self._tried.pop(name).set()
            del self._standings[name]

    def _withdraw(self, name: str) -> None:
        loaded = self._loaded.pop(name, None)
        if loaded is not None:
            self._shelf.withdraw(name, loaded)

    async def _keep_trying(self, adapter: Adapter) -> None:
        while (fault := await self._try(adapter)) is not None:
            self._withdraw(adapter.name)  # never the old weights under a name that says others
            self._standings[adapter.name] = Standing(adapter, "Failed", fault.reason, fault.message)
            _log.warning("adapter %s: %s: %s", adapter.name, fault.reason, fault.message)
            self._tried[adapter.name].set()
            await self._pause(RETRY_S)
        self._standings[adapter.name] = Standing(adapter, "Loaded")
        self._tried[adapter.name].set()

    async def _try(self, adapter: Adapter) -> Fault | None:
        try:
            loaded = await self._shelf.load(adapter.name, adapter.source)
        except Fault as fault:
            return fault
        before = self._loaded.get(adapter.name)
        self._loaded[adapter.name] = loaded
        self._dynamic.give_up(adapter.name)
        if before is not None:
            self._shelf.replaced(before)
        return None
