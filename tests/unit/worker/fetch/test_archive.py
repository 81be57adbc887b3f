"""Archives: what is taken from them, and what makes them refused."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from llmservice_worker.fetch.archive import entries, extract
from llmservice_worker.fetch.failure import FetchFailed, Reason

WHAT = "https://host/m.tar.gz"
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 3000, "sub/x.json": b"[]"}


def packed(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo, mode: Literal["w", "w:gz"] = "w:gz") -> Path:
    """An archive of files, then of bare entries."""
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return path


def unpacked(archive: Path, target: Path) -> dict[str, bytes]:
    """All that an archive holds, extracted."""
    found = entries(archive, WHAT)
    extract(archive, found, target, WHAT)
    return {entry.file.path: (target / entry.file.path).read_bytes() for entry in found}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("folder", ["", "model/", "./", "./model/"])
def test_plain_and_compressed_with_and_without_a_folder(
    tmp_path: Path, mode: Literal["w", "w:gz"], folder: str
) -> None:
    archive = packed(tmp_path / "a", {folder + path: content for path, content in FILES.items()}, mode=mode)
    assert unpacked(archive, tmp_path / "out") == FILES


def test_only_what_is_wanted_is_written(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a", FILES)
    extract(
        archive, [entry for entry in entries(archive, WHAT) if entry.file.path == "config.json"], tmp_path / "o", WHAT
    )
    assert [path.name for path in (tmp_path / "o").rglob("*")] == ["config.json"]


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """An entry without content."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


UNSAFE: dict[str, tarfile.TarInfo] = {
    "a folder above": entry("../x.json"),
    "a folder above, in the middle": entry("model/../../x.json"),
    "from the root": entry("/etc/x.json"),
    "a symbolic link": entry("x.json", tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": entry("x.json", tarfile.LNKTYPE, "config.json"),
    "a device": entry("x.json", tarfile.CHRTYPE),
    "a pipe": entry("x.json", tarfile.FIFOTYPE),
    "a folder that leads out": entry("../out", tarfile.DIRTYPE),
    "a backslash": entry("a\\..\\x.json"),
}


@pytest.mark.parametrize("member", UNSAFE.values(), ids=UNSAFE)
def test_what_could_leave_the_folder_refuses_the_archive(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = packed(tmp_path / "a", FILES, member)
    with pytest.raises(FetchFailed, match="is refused: it holds") as refused:
        entries(archive, WHAT)
    assert refused.value.reason is Reason.CORRUPT


def bomb(path: Path) -> None:
    """80 MiB of zeros in 80 KB."""
    with gzip.open(path, "wb") as out:
        header = tarfile.TarInfo("model.safetensors")
        header.size = 80 * 2**20
        out.write(header.tobuf())
        for _ in range(80):
            out.write(bytes(2**20))
        out.write(bytes(1024))


def long_name(path: Path) -> None:
    """A name of 40 MiB, which a reader would take into memory."""
    with gzip.open(path, "wb") as out:
        header = tarfile.TarInfo("././@LongLink")
        header.type, header.size = tarfile.GNUTYPE_LONGNAME, 40 * 2**20
        out.write(header.tobuf())
        for _ in range(40):
            out.write(bytes(2**20))


def crowd(path: Path) -> None:
    """10,001 files."""
    packed(path, {}, *(tarfile.TarInfo(f"{number}.json") for number in range(10_001)))


def giant(path: Path) -> None:
    """A file that claims a terabyte."""
    header = tarfile.TarInfo("model.safetensors")
    header.size = 2**40
    path.write_bytes(header.tobuf(format=tarfile.GNU_FORMAT) + bytes(1024))


@pytest.mark.parametrize("make", [bomb, long_name, crowd, giant])
def test_bombs_are_refused_before_they_go_off(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a")
    with pytest.raises(FetchFailed, match="is refused") as refused:
        entries(tmp_path / "a", WHAT)
    assert refused.value.reason is Reason.CORRUPT


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"hello" * 1000), b"PK\x03\x04" + bytes(600), b"\x1f\x8bnot gzip"],
    ids=["empty", "text", "gzip of no tar", "zip", "broken gzip"],
)
def test_what_is_no_archive_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(FetchFailed, match="no sound tar") as refused:
        entries(tmp_path / "a", WHAT)
    assert refused.value.reason is Reason.CORRUPT


def test_an_archive_that_ends_early_is_said(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a", FILES, mode="w")
    found = entries(archive, WHAT)
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(FetchFailed, match="no sound tar"):
        extract(archive, found, tmp_path / "out", WHAT)
