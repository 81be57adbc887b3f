"""Fetching as a whole, where no server is needed; the rest is in the integration tests."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from llmservice_worker.fetch import fetching
from llmservice_worker.fetch.download import TRIES
from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason
from llmservice_worker.fetch.fetching import Fetcher
from llmservice_worker.fetch.hub import Hub
from llmservice_worker.fetch.plan import RemoteFile
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.source import Source
from tests.unit.worker.fetch.sources import Pauses

GIB = 2**30


def hub(answer: Callable[[httpx.Request], httpx.Response], endpoint: str = "http://mirror") -> Hub:
    """One that is answered in memory."""
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return Hub(Source(uri="hf://org/name", endpoint=endpoint), None, client)


def in_a_circle(request: httpx.Request) -> httpx.Response:
    """Leads to itself."""
    return httpx.Response(302, headers={"Location": str(request.url)})


def test_a_listing_that_redirects_in_a_circle_is_an_interruption() -> None:
    with pytest.raises(Interrupted, match="TooManyRedirects"):
        hub(in_a_circle).files()


class Listing:
    """Lists nothing the first `failures` times that it is asked."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    def files(self) -> list[RemoteFile]:
        """One file."""
        self.asked += 1
        if self.asked <= self.failures:
            raise Interrupted("ConnectError")
        return [RemoteFile("config.json", 2)]

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Nobody reads."""
        raise NotImplementedError(file.path, offset)


@pytest.mark.parametrize("failures", [0, 1, TRIES - 1])
def test_a_listing_is_asked_for_again_at_growing_distances(tmp_path: Path, failures: int) -> None:
    pauses, remote = Pauses(), Listing(failures)
    fetcher = Fetcher(tmp_path, {}, Meter(time.monotonic), lambda _: None, pauses)
    assert fetcher._listed(remote, Source(uri="hf://org/name")) == [RemoteFile("config.json", 2)]
    assert remote.asked == failures + 1
    assert pauses.seconds == [1, 2, 4, 8][:failures]


def test_a_source_that_never_lists_is_unreachable(tmp_path: Path) -> None:
    pauses, remote = Pauses(), Listing(TRIES)
    fetcher = Fetcher(tmp_path, {}, Meter(time.monotonic), lambda _: None, pauses)
    with pytest.raises(FetchFailed, match="hf://org/name cannot be reached: ConnectError") as failed:
        fetcher._listed(remote, Source(uri="hf://org/name"))
    assert (failed.value.reason, remote.asked, len(pauses.seconds)) == (Reason.SOURCE_UNREACHABLE, TRIES, TRIES - 1)


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [("hf://org/name", "http://mirror:port"), ("s3://bucket/m", "minio"), ("s3://bucket/m", "http://")],
)
def test_an_endpoint_that_is_no_url_is_said(tmp_path: Path, uri: str, endpoint: str) -> None:
    fetcher = Fetcher(tmp_path, {}, Meter(time.monotonic), lambda _: None, Pauses())
    with pytest.raises(FetchFailed, match=r"correct model\.endpoint") as failed:
        fetcher.fetch(Source(uri=uri, endpoint=endpoint))
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE


def test_too_little_room_is_said_in_the_same_words_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = set()
    for free in (3 * GIB + 900, 3 * GIB + 10**6, 3 * GIB + 10**9):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with pytest.raises(FetchFailed) as failed:
            fetching._check_room(tmp_path / "draft", [RemoteFile("w", 4 * GIB + 5)])
        assert failed.value.reason is Reason.DISK_FULL
        said.add(failed.value.message)
    (message,) = said
    assert message.startswith("5 GiB are still to come and the volume at")
    assert "less than 4 GiB free" in message
