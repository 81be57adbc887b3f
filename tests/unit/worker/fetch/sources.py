"""Sources in memory, which break where a test says."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from llmservice_worker.fetch.failure import Interrupted, NotResumable
from llmservice_worker.fetch.plan import Checksum, RemoteFile


@dataclass
class Memory:
    """Files by path. `breaks`: bytes after which each read in turn breaks off; `asked`: (path, offset) of each read."""

    content: dict[str, bytes]
    breaks: list[int] = field(default_factory=list)
    resumable: bool = True
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent: int = 0

    def files(self) -> list[RemoteFile]:
        """All, with size and sha256."""
        return [file_of(path, content) for path, content in self.content.items()]

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:
        """In pieces of 10 bytes."""
        self.asked.append((file.path, offset))
        if offset and not self.resumable:
            raise NotResumable(file.path)
        yield self._pieces(self.content[file.path][offset:], self.breaks.pop(0) if self.breaks else None)

    def _pieces(self, content: bytes, breaks: int | None) -> Iterator[bytes]:
        for start in range(0, len(content), 10):
            if breaks is not None and start >= breaks:
                raise Interrupted("ReadError: connection reset")
            piece = content[start : start + 10]
            self.sent += len(piece)
            yield piece


@dataclass
class Pauses:
    """Waits that take no time, and are counted."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, stopped: threading.Event, seconds: float) -> None:  # noqa: ARG002 - as Downloader calls it
        self.seconds.append(seconds)


def file_of(path: str, content: bytes) -> RemoteFile:
    """As a hub lists it."""
    digest = hashlib.sha256(content).hexdigest()
    return RemoteFile(path, len(content), version=digest, checksum=Checksum("sha256", digest))
