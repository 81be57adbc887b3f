"""http(s)://…/model.tar[.gz] with a digest: fetched whole, verified, and only then taken apart, with distrust."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx

from llmservice_worker.fetch.failure import FetchFailed, Reason, cut_off, of_status
from llmservice_worker.fetch.plan import MOST_FILES, Checksum, RemoteFile, is_safe
from llmservice_worker.fetch.remote import CHUNK, http_read
from llmservice_worker.fetch.source import Source

NAME: Final = "archive"
_GROWTH: Final = 20
_ALWAYS: Final = 64 * 2**20
"""An archive may grow to 20 times its size, or to this: weights hardly compress, bombs do."""
_LONGEST_READ: Final = 16 * 2**20
_UNSOUND: Final = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)
_CREDENTIALS: Final = "a http(s):// source is asked without credentials: use a URL that needs none, or s3:// or hf://"


class Archive:
    """One file behind a URL."""

    def __init__(self, source: Source, client: httpx.Client) -> None:
        self._source = source
        self._client = client

    def files(self) -> list[RemoteFile]:
        """The archive, with the size that the server says."""
        url = self._source.uri
        try:
            answer = self._client.head(url, follow_redirects=True, headers={"Accept-Encoding": "identity"})
        except httpx.HTTPError as error:
            raise cut_off(error) from error
        if answer.status_code >= 400 and answer.status_code != 405:
            raise of_status(answer.status_code, url, _CREDENTIALS)
        length = answer.headers.get("content-length", "")
        size = int(length) if length.isdigit() and answer.status_code == 200 else None
        digest = self._source.sha256 or ""
        return [RemoteFile(NAME, size, version=digest, checksum=Checksum("sha256", digest))]

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Iterator[bytes]]:  # noqa: ARG002 - the one
        """From `offset` on."""
        return http_read(self._client, self._source.uri, offset, {}, self._source.uri, _CREDENTIALS)


@dataclass(frozen=True)
class Entry:
    """A plain file in an archive: where its bytes stand in the unpacked stream."""

    file: RemoteFile
    offset: int


def entries(archive: Path, what: str) -> list[Entry]:
    """The files in an archive, without the one folder that may be around all; raises FetchFailed(CORRUPT)."""
    found: list[Entry] = []
    try:
        with _opened(archive, what) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for count, member in enumerate(tar):
                wrong = "more files than a model has" if count >= MOST_FILES else member_problem(member)
                if wrong:
                    raise _unsafe(what, wrong)
                if member.isreg():
                    found.append(Entry(RemoteFile(_plain(member.name), member.size), member.offset_data))
    except _UNSOUND as error:
        raise _unsound(what, error) from error
    folder = _folder([entry.file.path for entry in found])
    return [replace(entry, file=replace(entry.file, path=entry.file.path[len(folder) :])) for entry in found]


def member_problem(member: tarfile.TarInfo) -> str | None:
    """Why an entry is not taken from an archive."""
    if not (member.isreg() or member.isdir()) or member.issparse():
        return f"{member.name!r}, which is neither a plain file nor a folder"
    name = _plain(member.name)
    if name and not is_safe(name.rstrip("/")) and not _is_hidden(name):
        return f"{member.name!r}, which leads out of its folder"
    return None


def extract(archive: Path, wanted: Sequence[Entry], target: Path, what: str) -> None:
    """Write entries of an archive under `target`, in the archive's order: a compressed one is read once."""
    try:
        with _opened(archive, what) as stream:
            for entry in sorted(wanted, key=lambda entry: entry.offset):
                stream.seek(entry.offset)
                path = target / entry.file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                _copy(stream, path, entry.file.size or 0)
    except _UNSOUND as error:
        raise _unsound(what, error) from error


def _copy(stream: "_Bounded", path: Path, size: int) -> None:
    with path.open("wb") as out:
        while size > 0:
            chunk = stream.read(min(size, CHUNK))
            if not chunk:
                raise EOFError("it ends in the middle of a file")
            out.write(chunk)
            size -= len(chunk)


def _opened(archive: Path, what: str) -> "_Bounded":
    return _Bounded(_decompressed(archive), max(archive.stat().st_size * _GROWTH, _ALWAYS), what)


def _decompressed(archive: Path) -> io.BufferedIOBase:
    with archive.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    return gzip.open(archive, "rb") if zipped else archive.open("rb")


class _Bounded(io.BufferedIOBase):
    """A stream that gives up where it grows beyond all measure, or a header asks for too much at once."""

    def __init__(self, inner: io.BufferedIOBase, limit: int, what: str) -> None:
        self._inner = inner
        self._limit = limit
        self._what = what

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > _LONGEST_READ:
            raise _unsafe(self._what, "a header that no model has")
        self._check(self._inner.tell() + size)
        return self._inner.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check(offset)
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._inner.close()
        super().close()

    def _check(self, end: int) -> None:
        if end > self._limit + 20 * 512:
            raise _unsafe(self._what, f"over {self._limit // 2**20} MiB once unpacked")


def _unsound(what: str, error: Exception) -> FetchFailed:
    return FetchFailed(Reason.CORRUPT, f"{what} is no sound tar or tar.gz archive: {error}")


def _unsafe(what: str, found: str) -> FetchFailed:
    return FetchFailed(Reason.CORRUPT, f"{what} is refused: it holds {found}; pack the model's plain files only")


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:]
    return "" if name == "." else name


def _is_hidden(name: str) -> bool:
    """Left out later, harmless here: `.gitattributes`, `._config.json`."""
    parts = name.rstrip("/").split("/")
    return ".." not in parts and "" not in parts and any(part.startswith(".") for part in parts)


def _folder(paths: Sequence[str]) -> str:
    """`model/` where all files are under it."""
    firsts = {path.split("/", 1)[0] for path in paths if "/" in path}
    return f"{firsts.pop()}/" if len(firsts) == 1 and all("/" in path for path in paths) else ""
