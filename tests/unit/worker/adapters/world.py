"""An engine and sources in memory, for tests of what is loaded, kept and dropped."""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llmservice_worker.adapters.adapters import Adapters
from llmservice_worker.adapters.checks import Fault
from llmservice_worker.args import Adapter, UserConfig
from llmservice_worker.errors import Refused

FOLDER = "pvc://models/tenants"


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sources:
    """Every source is there but for `faults`; `gate`, or its own of `gates`, holds a `bring` back while it is clear."""

    faults: dict[str, Fault | Exception] = field(default_factory=dict)
    brought: list[str] = field(default_factory=list)
    here: set[Path] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    gates: dict[str, threading.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gate.set()

    def bring(self, source: str) -> Path:
        """A directory of its own."""
        self.brought.append(source)
        gate = self.gates.get(source, self.gate)
        gate.wait()
        if source in self.faults:
            raise self.faults[source]
        directory = Path(f"/{len(self.brought)}")
        self.here.add(directory)
        return directory

    def drop(self, directory: Path) -> None:
        """Gone."""
        self.here.remove(directory)


@dataclass
class Engine:
    """Serves `names`, each by a handle; `used` are those that a request has; loads none while `gate` is clear."""

    names: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    count: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_dead: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    async def load(self, name: str, directory: Path) -> str:  # noqa: ARG002 - as the protocol has it
        """Loaded."""
        await asyncio.sleep(0)
        await self.gate.wait()
        if name in self.faults:
            raise self.faults[name]
        self.count += 1
        handle = f"{name}@{self.count}"
        self.names[name] = handle
        self.held.add(handle)
        return handle

    def withdraw(self, name: str) -> None:
        """Not served."""
        self.names.pop(name, None)

    def is_used(self, handle: str) -> bool:
        """Whether a request has it."""
        return handle in self.used

    async def forget(self, handle: str) -> None:
        """Not held."""
        if self.is_dead:
            raise RuntimeError("the engine is dead")
        self.held.remove(handle)


class World:
    """Adapters of model `m` (alias `gpt`) with room for two dynamic ones."""

    def __init__(self) -> None:
        self.clock, self.sources, self.engine = Clock(), Sources(), Engine()
        self.retries: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self.adapters = Adapters(
            ("m", "gpt"), self.engine, self.sources, capacity=2, clock=self.clock, pause=self._pause
        )

    async def _pause(self, _: float) -> None:
        over = asyncio.Event()
        self.retries.put_nowait(over)
        await over.wait()

    async def retry(self) -> None:
        """The time until the next try of a failed adapter has passed."""
        (await self.retries.get()).set()

    async def spec(self, dynamic: str | None = None, **sources: str) -> None:
        """The spec names these adapters (name=source) now; returns when each was tried."""
        named = tuple(Adapter(name=name, source=source) for name, source in sources.items())
        await self.adapters.take_over(UserConfig(adapters=named, dynamic_adapters=dynamic))
        await self.adapters.tried()

    async def refused(self, model: str) -> tuple[int, str | None]:
        """Status and code of the refusal that `model` meets."""
        with pytest.raises(Refused) as raised:
            await self.adapters.ensure(model)
        return raised.value.status, json.loads(raised.value.body)["error"]["code"]

    def states(self) -> dict[str, str]:
        """Name → state, with the reason where there is one."""
        return {
            each["name"]: " ".join((each["state"], *filter(None, [each.get("reason")])))
            for each in self.adapters.state()
        }
