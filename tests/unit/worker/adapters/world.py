"""An engine and sources in memory, for tests of what is loaded, kept and dropped."""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

from llmservice_worker.adapters.adapters import Adapters
from llmservice_worker.adapters.checks import Fault
from llmservice_worker.args import Adapter, UserConfig

FOLDER = "pvc://models/tenants"


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sources:
    """Every source is there but for `faults`; `gate` holds each `bring` back while it is clear."""

    faults: dict[str, Fault | Exception] = field(default_factory=dict)
    brought: list[str] = field(default_factory=list)
    here: set[Path] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def bring(self, source: str) -> Path:
        """A directory of its own."""
        self.brought.append(source)
        self.gate.wait()
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
    """Serves `names`, each by a handle; `used` are those that a request has."""

    names: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    count: int = 0

    async def load(self, name: str, directory: Path) -> str:  # noqa: ARG002 - as the protocol has it
        """Loaded."""
        await asyncio.sleep(0)
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

    def states(self) -> dict[str, str]:
        """Name → state, with the reason where there is one."""
        return {
            each["name"]: " ".join((each["state"], *filter(None, [each.get("reason")])))
            for each in self.adapters.state()
        }
