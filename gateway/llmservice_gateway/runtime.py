"""HAProxy's runtime socket: what the maps hold, and changing them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from llmservice_gateway.desired import NAMES, Maps
from llmservice_gateway.mapdiff import Change, batches

_LINE: Final = 16 * 1024
_TIMEOUT: Final = 10.0


class RuntimeFailed(Exception):
    """The socket did not answer, or refused a command; what the maps hold is then unknown."""


class MapStore(Protocol):
    """Where the desired maps go."""

    async def read(self) -> Maps:
        """All contents; raises RuntimeFailed."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes in their order; raises RuntimeFailed, perhaps after some were made."""


class RuntimeSocket:
    """Those `names` of a running HAProxy's maps, which are named after files in `directory`."""

    def __init__(self, socket: Path, directory: Path, names: Sequence[str] = NAMES) -> None:
        self._socket = socket
        self._directory = directory
        self._names = names

    async def read(self) -> Maps:
        """All contents; raises RuntimeFailed."""
        return {name: _entries(await self._ask(f"show map {self._directory / name}.map")) for name in self._names}

    async def table(self, name: str) -> str:
        """A stick table's entries as HAProxy prints them; raises RuntimeFailed."""
        return await self._ask(f"show table {name}")

    async def count(self, name: str, entries: Mapping[str, tuple[int, int]]) -> None:
        """Sets both counters of these entries of a stick table; raises RuntimeFailed. Keys are ours, not checked."""
        lines = (f"set table {name} key {key} data.gpc0 {a} data.gpc1 {b}" for key, (a, b) in entries.items())
        await self._all_taken(list(lines))

    async def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes in their order; raises RuntimeFailed, perhaps after some were made."""
        await self._all_taken([change.command(self._directory) for change in changes])

    async def _all_taken(self, commands: list[str]) -> None:
        for line in batches(commands, _LINE):
            answer = (await self._ask(line)).strip()
            if answer:
                raise RuntimeFailed(f"HAProxy refused a change: {answer.splitlines()[0][:200]}")

    async def _ask(self, line: str) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(line.encode() + b"\n")
                    await writer.drain()
                    return (await reader.read()).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise RuntimeFailed(f"the runtime socket does not answer: {error or type(error).__name__}") from error


def _entries(answer: str) -> dict[str, str]:
    rows = (line.split(" ", 2) for line in answer.splitlines() if line.startswith("0x"))
    return {row[1]: row[2] for row in rows if len(row) == 3}
