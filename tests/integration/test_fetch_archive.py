"""http(s):// archives, and volumes that are too small."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.source import Source
from tests.integration import hub_mirror
from tests.integration.fetching import MIB, a_model, digest_of, fetch, laid_down, tar_of
from tests.integration.hub_mirror import Mirror
from tests.integration.relay import relayed

MODEL = a_model(2 * MIB)


@pytest.fixture
def web() -> Iterator[Mirror]:
    """A web server."""
    with hub_mirror.running() as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volume."""
    return tmp_path / "models"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A volume of 5 MiB."""
    if os.geteuid() != 0:
        pytest.fail("a small volume can only be mounted as root: run the integration tests as root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", folder], check=True)
    yield folder / "models"
    subprocess.run(["umount", folder], check=True)


def offered(web: Mirror, content: bytes, digest: str = "") -> Source:
    """An archive at the web server, as its owner would name it."""
    web.other["files/m.tar.gz"] = content
    return Source(uri=f"{web.url}/files/m.tar.gz", sha256=digest or hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("folder", ["", "smol/"])
def test_an_archive_comes_whole(web: Mirror, root: Path, mode: Literal["w", "w:gz"], folder: str) -> None:
    packed = {folder + path: content for path, content in (MODEL | {"README.md": b""}).items()}
    source = offered(web, tar_of(packed, mode))
    assert fetch(source, root).digest == digest_of(MODEL)
    assert laid_down(source, root) == MODEL


def test_it_goes_on_after_a_break(web: Mirror, root: Path) -> None:
    content = tar_of(MODEL)
    source = offered(web, content)
    host, port = web.url.removeprefix("http://").split(":")
    with relayed(host, int(port)) as relay:
        relay.cut_after = MIB
        through = source.model_copy(update={"uri": f"{relay.url}/files/m.tar.gz"})
        assert fetch(through, root).digest == digest_of(MODEL)
        assert relay.served < len(content) + MIB + 64 * 1024


def test_another_digest_is_corrupt_and_nothing_stays(web: Mirror, root: Path) -> None:
    source = offered(web, tar_of(MODEL), "0" * 64)
    with pytest.raises(FetchFailed, match=f"not {'0' * 64}") as failed:
        fetch(source, root)
    assert failed.value.reason is Reason.CORRUPT
    assert [path for path in root.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_what_leads_out_is_refused_and_not_written(web: Mirror, root: Path) -> None:
    source = offered(web, tar_of(MODEL | {"../../evil.json": b"{}"}))
    with pytest.raises(FetchFailed, match="leads out of its folder") as failed:
        fetch(source, root)
    assert failed.value.reason is Reason.CORRUPT
    assert not list(root.parent.rglob("evil.json"))


def test_pickles_in_an_archive_are_refused(web: Mirror, root: Path) -> None:
    source = offered(web, tar_of({"config.json": MODEL["config.json"], "pytorch_model.bin": b"pickle"}))
    with pytest.raises(FetchFailed) as failed:
        fetch(source, root)
    assert failed.value.reason is Reason.WEIGHTS_NOT_ALLOWED


def test_an_archive_that_is_gone_is_said(web: Mirror, root: Path) -> None:
    source = Source(uri=f"{web.url}/files/gone.tar", sha256="0" * 64)
    with pytest.raises(FetchFailed) as failed:
        fetch(source, root)
    assert failed.value.reason is Reason.SOURCE_NOT_FOUND


def test_too_little_room_is_said_before_anything_is_fetched(web: Mirror, small: Path) -> None:
    web.public["org/large"] = a_model(6 * MIB)
    with pytest.raises(FetchFailed, match=r"free: give model\.cacheClaim a larger volume") as failed:
        fetch(Source(uri="hf://org/large", endpoint=web.url), small)
    assert failed.value.reason is Reason.DISK_FULL
    assert [path for path, _ in web.asked if path.startswith("/cdn/")] == []


def test_a_volume_that_runs_full_is_said(web: Mirror, small: Path) -> None:
    """The archive finds room, what is in it does not."""
    source = offered(web, tar_of(a_model(3 * MIB), "w"))
    with pytest.raises(FetchFailed, match="is full") as failed:
        fetch(source, small)
    assert failed.value.reason is Reason.DISK_FULL
