"""The volume's folder of sources: `<key>/` is whole or not there; one process fills it while others wait."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from llmservice_worker.fetch.download import PARTIAL
from llmservice_worker.fetch.failure import of_disk

MARK: Final = ".llmservice.json"
"""In a complete directory: what was fetched."""
_NO_SYNC: Final = (errno.EINVAL, errno.ENOTSUP)
"""What file systems without a notion of it answer to fsync of a directory."""


@dataclass(frozen=True)
class Fetched:
    """`digest`: sha256:… over the names and digests of the files; `bytes`: their size."""

    digest: str
    bytes: int


@dataclass(frozen=True)
class Place:
    """One source's place. The draft is beside it and survives a crash, so that the next run goes on from there."""

    root: Path
    key: str

    @property
    def directory(self) -> Path:
        """Where the files are once all of them are."""
        return self.root / self.key

    @property
    def draft(self) -> Path:
        """Where they are until then."""
        return self.root / f".{self.key}.draft"

    def fetched(self) -> Fetched | None:
        """What lies here, None while it is not whole."""
        try:
            noted = json.loads((self.directory / MARK).read_text(encoding="utf-8"))
            return Fetched(str(noted["digest"]), int(noted["bytes"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the source against other processes, of other pods too; `waiting` is called where one has it now.

        The kernel drops the lock of a process that dies.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        lock = os.open(self.root / f".{self.key}.lock", os.O_RDWR | os.O_CREAT, 0o660)
        try:
            yield lock
        finally:
            os.close(lock)

    def begin(self) -> Path:
        """The draft, with what an earlier run left."""
        if self.directory.exists():  # without its mark: not ours to trust
            shutil.rmtree(self.directory)
        self.draft.mkdir(exist_ok=True)
        return self.draft

    def finish(self, fetched: Fetched) -> None:
        """The draft becomes the directory, at once and for good."""
        for leftover in self.draft.rglob(f"*{PARTIAL}"):
            leftover.unlink()
        try:
            with (self.draft / MARK).open("w", encoding="utf-8") as mark:
                json.dump(asdict(fetched), mark)
            # The mark vouches for the weights: a node that dies must not leave it without them.
            for path in (*self.draft.rglob("*"), self.draft):
                _sync(path)
            os.replace(self.draft, self.directory)
            _sync(self.root)
        except OSError as error:
            raise of_disk(error, str(self.root)) from error


def _sync(path: Path) -> None:
    """Have a file's bytes, or a directory's names, on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if not (path.is_dir() and error.errno in _NO_SYNC):
            raise
    finally:
        os.close(opened)
