"""The one downloader: resumable, verified, several files at a time."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol

from llmservice_worker.fetch.failure import FetchFailed, Interrupted, NotResumable, Reason, of_disk, unreachable
from llmservice_worker.fetch.plan import Checksum, RemoteFile
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.remote import CHUNK, Remote

PARTIAL: Final = ".part"
TRIES: Final = 5
"""Tries in a row that bring no byte, or times to begin a file anew, before the source counts as unreachable."""
_AT_ONCE: Final = 4
_LONGEST_WAIT_S: Final = 30.0


class Hash(Protocol):
    """As hashlib's."""

    def update(self, data: bytes, /) -> None:
        """More bytes."""

    def hexdigest(self) -> str:
        """The digest."""


Pause = Callable[[threading.Event, float], object]
"""Waits so many seconds, or until the event is set."""


@dataclass
class Downloader:
    """Files of one source; `what` is its name in messages."""

    remote: Remote
    meter: Meter
    what: str
    pause: Pause = threading.Event.wait
    stopped: threading.Event = field(default_factory=threading.Event)

    def all(self, files: Sequence[RemoteFile], directory: Path) -> dict[str, str]:
        """Fetch the files into a directory; returns path → sha256. The first failure ends the others.

        A file bears its own name only when all are there: one that an earlier run left may be of another version.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tasks = {file.path: pool.submit(self._one, file, directory / file.path) for file in files}
            done, _ = wait(tasks.values(), return_when=FIRST_EXCEPTION)
            failure = next((error for task in done if (error := task.exception()) is not None), None)
            if failure is not None:
                self.stopped.set()
                pool.shutdown(cancel_futures=True)
        if failure is not None:
            raise failure
        for file in files:
            os.replace(partial(file, directory / file.path), directory / file.path)
        return {path: task.result() for path, task in tasks.items()}

    def _one(self, file: RemoteFile, target: Path) -> str:
        """Fetch one file, from where an earlier run stopped; its sha256."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = partial(file, target)
            if file.checksum is not None and target.is_file():
                os.replace(target, part)
            return self._fetch(file, part)
        except OSError as error:
            raise of_disk(error, str(target.parent)) from error

    def _fetch(self, file: RemoteFile, part: Path) -> str:
        digests = Digests(file)
        with part.open("ab+") as out:
            out.seek(0)
            self.meter.found(digests.read(out))
            if file.size is not None and digests.count > file.size:
                self._give_up(out, digests)
            self._transfer(file, out, digests)
        wrong = digests.problem()
        if wrong is None:
            return digests.sha256
        self.meter.found(-digests.count)
        part.unlink()
        raise FetchFailed(
            Reason.CORRUPT,
            f"{self.what}: {file.path} {wrong}; it was removed and is fetched again at the next try: "
            "if that fails too, upload the file anew",
        )

    def _transfer(self, file: RemoteFile, out: IO[bytes], digests: "Digests") -> None:
        tries = begun = 0
        while file.size is None or digests.count < file.size:
            before = digests.count
            try:
                self._stream(file, out, digests)
                if file.size is None:
                    return
                why = "the connection was closed early"
            except Interrupted as error:
                why = str(error)
            except NotResumable:
                begun += 1
                if begun >= TRIES:
                    why = "its server breaks off each time, and cannot go on from there (it takes no Range)"
                    raise unreachable(self.what, f"{file.path}: {why}") from None
                self._give_up(out, digests)
                continue
            if file.size is not None and digests.count >= file.size:
                return
            tries = 1 if digests.count > before else tries + 1
            if tries >= TRIES:
                raise unreachable(self.what, why)
            self.pause(self.stopped, min(2.0 ** (tries - 1), _LONGEST_WAIT_S))

    def _stream(self, file: RemoteFile, out: IO[bytes], digests: "Digests") -> None:
        with self.remote.read(file, digests.count) as chunks:
            for chunk in chunks:
                if self.stopped.is_set():
                    raise FetchFailed(Reason.SOURCE_UNREACHABLE, f"{self.what}: stopped because another file failed")
                out.write(chunk)
                digests.update(chunk)
                self.meter.add(len(chunk))
                if file.size is not None and digests.count > file.size:
                    break
        out.flush()

    def _give_up(self, out: IO[bytes], digests: "Digests") -> None:
        """Begin a file anew."""
        self.meter.found(-digests.count)
        out.truncate(0)
        digests.reset()


def partial(file: RemoteFile, target: Path) -> Path:
    """Where an unfinished file lies: another place for each version of it, so that two are never mixed."""
    version = hashlib.sha256(file.version.encode()).hexdigest()[:8]
    return target.with_name(f"{target.name}.{version}{PARTIAL}")


class Digests:
    """sha256 of a file, and whatever else its source names it by."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self.reset()

    def reset(self) -> None:
        """Of no bytes."""
        self._sha256 = hashlib.sha256()
        self._other = _named(self._file)
        self.count = 0

    @property
    def sha256(self) -> str:
        """Of what came so far."""
        return self._sha256.hexdigest()

    def update(self, chunk: bytes) -> None:
        """More bytes."""
        self._sha256.update(chunk)
        if self._other is not None:
            self._other.update(chunk)
        self.count += len(chunk)

    def read(self, stream: IO[bytes]) -> int:
        """The bytes that are there; how many."""
        while chunk := stream.read(CHUNK):
            self.update(chunk)
        return self.count

    def problem(self) -> str | None:
        """What is wrong with the whole file."""
        if self._file.size is not None and self.count != self._file.size:
            return f"has {self.count} bytes where its source says {self._file.size}"
        expected = self._file.checksum
        if expected is None:
            return None
        found = self._other.hexdigest() if self._other is not None else self.sha256
        return None if found == expected.hex else f"has {expected.algorithm} {found}, not {expected.hex}"


def _named(file: RemoteFile) -> Hash | None:
    checksum: Checksum | None = file.checksum
    if checksum is None or checksum.algorithm == "sha256":
        return None
    if checksum.algorithm == "md5":
        return hashlib.md5(usedforsecurity=False)
    blob = hashlib.sha1(usedforsecurity=False)
    blob.update(b"blob %d\0" % (file.size or 0))
    return blob
