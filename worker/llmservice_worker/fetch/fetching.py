"""A source, fetched: listed, planned, downloaded, checked, and laid down whole."""

import hashlib
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from llmservice_worker import sources
from llmservice_worker.fetch import archive
from llmservice_worker.fetch.download import TRIES, Downloader, Pause
from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason, of_disk, unreachable
from llmservice_worker.fetch.hub import Hub
from llmservice_worker.fetch.plan import RemoteFile, wanted
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.remote import TIMEOUT, Remote
from llmservice_worker.fetch.s3 import Bucket
from llmservice_worker.fetch.source import Source, protocol
from llmservice_worker.fetch.store import Fetched, Place

_GIB: Final = 2**30

Check = Callable[[Path], str | None]


def model_check(source: Source) -> Check:
    """The cheap checks of a model's directory."""
    return lambda directory: sources.problem(str(directory), source.uri, pickles=source.pickles)


@dataclass
class Fetcher:
    """`check` says what is wrong with a directory that is complete; `pause` waits between tries."""

    root: Path
    credentials: Mapping[str, str]
    meter: Meter
    check: Check
    pause: Pause = threading.Event.wait

    def fetch(self, source: Source) -> Fetched:
        """Bring a source into `root/<key>`; raises FetchFailed. One that is there whole is used as it is."""
        place = Place(self.root, source.key)
        try:
            with place.locked(lambda: self.meter.begin("Waiting")):
                return place.fetched() or self._fetch(source, place)
        except OSError as error:
            raise of_disk(error, str(self.root)) from error

    def _fetch(self, source: Source, place: Place) -> Fetched:
        self.meter.begin("Listing")
        draft = place.begin()
        with _remote(source, self.credentials) as remote:
            files = self._listed(remote, source)
            packed = isinstance(remote, archive.Archive)
            chosen = files if packed else wanted(files, source.pickles, source.uri)
            _check_room(draft, chosen)
            self.meter.begin("Downloading", sum(file.size or 0 for file in chosen) or None)
            digests = Downloader(remote, self.meter, source.uri, self.pause).all(chosen, draft)
        self.meter.begin("Verifying")
        if packed:
            digests = _unpacked(source, draft)
        wrong = self.check(draft)
        if wrong is not None:
            raise FetchFailed(Reason.CORRUPT, f"{wrong}; upload it whole, or correct spec.model.source")
        if packed:
            (draft / archive.NAME).unlink()
        fetched = Fetched(_digest(digests), sum((draft / path).stat().st_size for path in digests))
        place.finish(fetched)
        return fetched

    def _listed(self, remote: Remote, source: Source) -> list[RemoteFile]:
        waiting, tries = threading.Event(), 0
        while True:
            try:
                return remote.files()
            except Interrupted as error:
                tries += 1
                if tries == TRIES:
                    raise unreachable(source.uri, str(error)) from error
            self.pause(waiting, 2.0 ** (tries - 1))


@contextmanager
def _remote(source: Source, credentials: Mapping[str, str]) -> Iterator[Remote]:
    if protocol(source.uri) == "s3":
        yield Bucket(source, credentials)
        return
    with httpx.Client(timeout=TIMEOUT, trust_env=True) as client:
        if source.scheme == "hf":
            yield Hub(source, credentials.get("HF_TOKEN"), client)
        elif source.scheme in ("http", "https") and source.sha256:
            yield archive.Archive(source, client)
        else:
            raise FetchFailed(
                Reason.SOURCE_NOT_FOUND, f"{source.uri}: not hf://, s3://, gs:// or http(s):// with sha256"
            )


def _check_room(draft: Path, files: list[RemoteFile]) -> None:
    """Said before hours of downloading, not after."""
    here = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
    missing = sum(file.size or 0 for file in files) - here
    free = shutil.disk_usage(draft).free
    if missing > free:
        raise FetchFailed(Reason.DISK_FULL, _no_room(missing, free, draft.parent))


def _no_room(missing: int, free: int, where: Path) -> str:
    """In whole GiB: what others write to a shared volume must not change the message at each try."""
    return (
        f"{math.ceil(missing / _GIB)} GiB are still to come and the volume at {where} has less than "
        f"{free // _GIB + 1} GiB free: give model.cacheClaim a larger volume, or delete what it no longer needs"
    )


def _unpacked(source: Source, draft: Path) -> dict[str, str]:
    """The wanted files of the draft's archive; path → sha256."""
    packed = draft / archive.NAME
    found = {entry.file.path: entry for entry in archive.entries(packed, source.uri)}
    chosen = wanted([entry.file for entry in found.values()], source.pickles, source.uri)
    archive.extract(packed, [found[file.path] for file in chosen], draft, source.uri)
    return {file.path: _sha256(draft / file.path) for file in chosen}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(digests: Mapping[str, str]) -> str:
    said = "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items()))
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"
