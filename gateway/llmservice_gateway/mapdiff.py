"""From what HAProxy's maps hold to what they should hold, as commands of its runtime socket."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SAFE: Final = re.compile(r"[A-Za-z0-9._:/|*-]+")
_REVOKING: Final = ("keys", "allow")

Contents = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Change:
    """One change of one entry; `value` is None where the entry goes."""

    map: str
    key: str
    value: str | None
    exists: bool

    def command(self, directory: Path) -> str:
        """The command of the runtime socket; raises ValueError for text that could be read as another command."""
        for text in (self.key, self.value or "-"):
            if not _SAFE.fullmatch(text):
                raise ValueError(f"not safe in a runtime command: {text!r}")
        file = directory / f"{self.map}.map"
        if self.value is None:
            return f"del map {file} {self.key}"
        return f"{'set' if self.exists else 'add'} map {file} {self.key} {self.value}"


def changes(held: Contents, wanted: Contents) -> list[Change]:
    """What to do, in the order in which it is safe: revoke, then add and move, then remove what nothing leads to."""
    gone = [
        Change(name, key, None, exists=True)
        for name, entries in held.items()
        for key in entries
        if key not in wanted.get(name, {})
    ]
    return [
        *(change for change in gone if change.map in _REVOKING),
        *_additions(held, wanted),
        *(change for change in gone if change.map not in _REVOKING),
    ]


def batches(commands: list[str], size: int) -> Iterator[str]:
    """The commands joined into lines of at most `size` characters."""
    line: list[str] = []
    length = 0
    for command in commands:
        if line and length + len(command) + 1 > size:
            yield ";".join(line)
            line, length = [], 0
        line.append(command)
        length += len(command) + 1
    if line:
        yield ";".join(line)


def _additions(held: Contents, wanted: Contents) -> Iterator[Change]:
    for name, entries in wanted.items():
        before = held.get(name, {})
        for key, value in entries.items():
            if before.get(key) != value:
                yield Change(name, key, value, exists=key in before)
