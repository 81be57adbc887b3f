"""The downloader: resumed, verified, bounded in its tries."""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from llmservice_worker.fetch.download import TRIES, Downloader, partial
from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason
from llmservice_worker.fetch.plan import Checksum, RemoteFile
from llmservice_worker.fetch.progress import Meter
from tests.unit.worker.fetch.sources import Memory, Pauses, file_of

CONTENT = bytes(range(256)) * 4
WHAT = "hf://org/name"


def downloader(remote: Memory, pauses: Pauses | None = None) -> Downloader:
    """One that waits for nothing."""
    return Downloader(remote, Meter(time.monotonic), WHAT, pauses or Pauses())


def test_files_come_with_their_digests(tmp_path: Path) -> None:
    remote = Memory({"a.bin": CONTENT, "sub/b.bin": b"b", "empty": b""})
    found = downloader(remote).all(remote.files(), tmp_path)
    assert found == {path: hashlib.sha256(content).hexdigest() for path, content in remote.content.items()}
    assert {path: (tmp_path / path).read_bytes() for path in found} == remote.content
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.bin", "b.bin", "empty"]


def test_a_broken_transfer_goes_on_from_where_it_stopped(tmp_path: Path) -> None:
    remote, pauses = Memory({"a": CONTENT}, breaks=[100, 50]), Pauses()
    downloader(remote, pauses).all(remote.files(), tmp_path)
    assert remote.asked == [("a", 0), ("a", 100), ("a", 150)]
    assert remote.sent == len(CONTENT)
    assert pauses.seconds == [1.0, 1.0]


def test_what_an_earlier_run_brought_is_not_asked_for_again(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT})
    (file,) = remote.files()
    partial(file, tmp_path / "a").write_bytes(CONTENT[:600])
    downloader(remote).all([file], tmp_path)
    assert remote.asked == [("a", 600)]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_whole_file_of_an_earlier_run_is_verified_and_not_fetched(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT})
    (tmp_path / "a").write_bytes(CONTENT)
    downloader(remote).all(remote.files(), tmp_path)
    assert remote.asked == []


def test_an_older_version_is_not_continued(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT})
    partial(replace(remote.files()[0], version="older"), tmp_path / "a").write_bytes(b"x" * 600)
    downloader(remote).all(remote.files(), tmp_path)
    assert remote.asked == [("a", 0)]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_more_than_there_should_be_is_begun_anew(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT})
    partial(remote.files()[0], tmp_path / "a").write_bytes(CONTENT + b"more")
    downloader(remote).all(remote.files(), tmp_path)
    assert remote.asked == [("a", 0)]


def test_a_server_without_ranges_is_asked_from_the_start(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT}, breaks=[100], resumable=False)
    downloader(remote).all(remote.files(), tmp_path)
    assert remote.asked == [("a", 0), ("a", 100), ("a", 0)]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT}, breaks=[100] * 50, resumable=False)
    with pytest.raises(FetchFailed, match="breaks off each time") as failed:
        downloader(remote).all(remote.files(), tmp_path)
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE
    assert [offset for _, offset in remote.asked].count(0) == TRIES


CHECKSUMS = [
    Checksum("sha256", hashlib.sha256(CONTENT).hexdigest()),
    Checksum("md5", hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()),
    Checksum("git-sha1", hashlib.sha1(b"blob 1024\0" + CONTENT, usedforsecurity=False).hexdigest()),
]


@pytest.mark.parametrize("checksum", CHECKSUMS, ids=lambda checksum: checksum.algorithm)
@pytest.mark.parametrize("wrong", [False, True])
def test_each_kind_of_checksum_finds_one_wrong_byte(tmp_path: Path, checksum: Checksum, wrong: bool) -> None:
    remote = Memory({"a": CONTENT[:-1] + b"!" if wrong else CONTENT})
    file = RemoteFile("a", len(CONTENT), "v", checksum)
    if not wrong:
        assert downloader(remote).all([file], tmp_path) == {"a": hashlib.sha256(CONTENT).hexdigest()}
        return
    with pytest.raises(FetchFailed, match=f"a has {checksum.algorithm} .*, not {checksum.hex}") as failed:
        downloader(remote).all([file], tmp_path)
    assert failed.value.reason is Reason.CORRUPT
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_the_source_says_are_corrupt(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT})
    with pytest.raises(FetchFailed, match="bytes where its source says 5") as failed:
        downloader(remote).all([RemoteFile("a", 5)], tmp_path)
    assert failed.value.reason is Reason.CORRUPT


def test_tries_that_bring_nothing_are_bounded_and_further_apart(tmp_path: Path) -> None:
    remote, pauses = Memory({"a": CONTENT}, breaks=[0] * 20), Pauses()
    with pytest.raises(FetchFailed, match="connection reset") as failed:
        downloader(remote, pauses).all(remote.files(), tmp_path)
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE
    assert len(remote.asked) == TRIES
    assert pauses.seconds == [1, 2, 4, 8]


def test_a_source_that_sends_less_than_it_says_is_given_up(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT})
    with pytest.raises(FetchFailed, match="closed early") as failed:
        downloader(remote).all([replace(remote.files()[0], size=2000)], tmp_path)
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE


def test_a_size_that_nobody_says_is_what_comes(tmp_path: Path) -> None:
    remote = Memory({"a": CONTENT}, breaks=[100])
    downloader(remote).all([replace(remote.files()[0], size=None)], tmp_path)
    assert (tmp_path / "a").read_bytes() == CONTENT


class OneFails(Memory):
    """Refuses the file `bad`; the others wait for that and then go on for ever."""

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:  # noqa: ARG002 - as it is called
        """One piece after another."""
        if file.path == "bad":
            raise FetchFailed(Reason.CREDENTIALS_REFUSED, "no")
        yield iter(lambda: b"x", b"")


def test_the_first_failure_ends_the_others_and_is_the_one_that_is_told(tmp_path: Path) -> None:
    remote = OneFails({})
    files = [RemoteFile(name, 10**9) for name in ("a", "bad", "c")]
    with pytest.raises(FetchFailed) as failed:
        downloader(remote).all(files, tmp_path)
    assert failed.value.reason is Reason.CREDENTIALS_REFUSED


class Full(Memory):
    """Its bytes find no room."""

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:  # noqa: ARG002 - as it is called
        """No byte."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield


def test_a_full_disk_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="is full") as failed:
        downloader(Full({})).all([file_of("a", CONTENT)], tmp_path)
    assert failed.value.reason is Reason.DISK_FULL


def test_an_interruption_is_no_outcome() -> None:
    assert not issubclass(Interrupted, FetchFailed)
