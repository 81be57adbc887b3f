"""Usage events on disk while the ledger is away: bounded segments of lines, whose owner holds their lock.

    append ──► the segment that is written ──full, or asked for──► sealed ──stored by the ledger──► gone
                                            └──its process died──┘

A lock ends with its process, so that a replica takes over what one before it in the same pod has left, and never
what another still writes. Numbers name segments, not times: a clock that is set changes nothing.
"""

import fcntl
import itertools
import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 2**20
SEGMENT_BYTES: Final = 256 * 1024
"""What is sent again, at most, after a process was killed while it sent."""
_SUFFIX: Final = ".jsonl"
_REFUSED: Final = "refused.jsonl"


class SpoolFull(Exception):
    """The spool's own bound is reached; the message says which."""


@dataclass(frozen=True)
class Held:
    """Whole lines of a segment, without their ends, and how many could not be read."""

    lines: tuple[bytes, ...]
    torn: int


@dataclass(frozen=True)
class Standing:
    """Bytes that are not sent, and since when the oldest of them waits, by the spool's clock; None: none does."""

    size: int
    since: float | None


class Segment:
    """A file of events that nobody else reads or writes while it is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        """Write all of `data` to the disk, or nothing: raises OSError, and takes back what it has written of it."""
        before = self.size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, before)
            raise

    def read(self) -> Held:
        """What it holds; a process that was killed may have left its last line unfinished."""
        *whole, rest = self.path.read_bytes().split(b"\n")
        lines = tuple(filter(_is_object, whole))
        return Held(lines, len(whole) - len(lines) + bool(rest))

    def remove(self) -> None:
        """All of it is stored elsewhere."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it to whoever comes next."""
        os.close(self._descriptor)


class Spool:
    """Segments in `folder`, at most `most_bytes` together; safe for threads. `clock`: seconds that only grow."""

    def __init__(
        self, folder: Path, most_bytes: int, clock: Callable[[], float], segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._turn = threading.Lock()
        self._written: Segment | None = None
        self._last = 0
        self._since: dict[Path, float] = {}

    def append(self, lines: Sequence[bytes]) -> None:
        """Keep `lines`, each with its end; raises SpoolFull, or OSError: then none of them is kept."""
        data = b"".join(lines)
        with self._turn:
            if self._size() + len(data) > self._most_bytes:
                raise SpoolFull(f"the spool {self._folder} holds its {self._most_bytes // MIB} MiB")
            segment = self._written = self._written or self._created()
            try:
                segment.append(data)
            except OSError:
                self._seal()
                raise
            if segment.size >= self._segment_bytes:
                self._seal()

    def oldest(self) -> Segment | None:
        """The oldest segment that is nobody else's, to be sent and removed; None: there is none. Raises OSError."""
        with self._turn:
            written = self._written
            for path in self._paths():
                if written is not None and path == written.path:
                    self._written = None
                    return written
                segment = _opened(path, os.O_RDWR)
                if segment is not None:
                    return segment
            return None

    def set_aside(self, line: bytes, most_bytes: int) -> bool:
        """Keep an event that the ledger refused where a person finds it; False where that file is full."""
        path = self._folder / _REFUSED
        with path.open("ab") as file:
            if file.tell() + len(line) >= most_bytes:
                return False
            file.write(line + b"\n")
        return True

    def standing(self) -> Standing:
        """How much waits, and since when."""
        with self._turn:
            size = self._size()
            now = self._clock()
            self._since = {path: self._since.get(path, now) for path in self._paths() if _size_of(path)}
            return Standing(size, min(self._since.values(), default=None))

    def unsent(self) -> list[bytes]:
        """Every event that is still here and no other process's to send; ends what is written now. Raises OSError."""
        with self._turn:
            self._seal()
            lines: list[bytes] = []
            for path in self._paths():
                segment = _opened(path, os.O_RDWR)
                if segment is not None:
                    lines += segment.read().lines
                    segment.close()
            return lines

    def close(self) -> None:
        """Leave what is here to whoever comes next."""
        with self._turn:
            self._seal()

    def _size(self) -> int:
        return sum(map(_size_of, self._paths()))

    def _paths(self) -> list[Path]:
        """Of all segments, the oldest first; none in a folder that cannot be read, as an append will say."""
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX and path.stem.isdigit())
        except OSError:
            return []

    def _created(self) -> Segment:
        self._folder.mkdir(parents=True, exist_ok=True)
        last = max((int(path.stem) for path in self._paths()), default=0)
        for number in itertools.count(max(last, self._last) + 1):
            self._last = number
            path = self._folder / f"{number:012d}{_SUFFIX}"
            with suppress(FileExistsError):  # another process was quicker
                segment = _opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                if segment is not None:
                    _sync(self._folder)
                    return segment
        raise AssertionError("numbers do not end")

    def _seal(self) -> None:
        """What follows goes to another segment."""
        if self._written is not None:
            self._written.close()
            self._written = None


def _opened(path: Path, flags: int) -> Segment | None:
    """The segment at `path` with its lock; None where it is another's, or is gone meanwhile."""
    try:
        descriptor = os.open(path, flags | os.O_APPEND, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        return None
    return Segment(path, descriptor)


def _sync(folder: Path) -> None:
    """The names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
