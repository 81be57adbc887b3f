"""Fetching as a whole, where no server is needed; the rest is in the integration tests."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from llmservice_worker.fetch import fetching
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
