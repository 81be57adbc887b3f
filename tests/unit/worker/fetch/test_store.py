"""The volume's folder: whole or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.store import MARK, Fetched, Place

DONE = Fetched("sha256:ab", 7)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "models", "key")


def test_nothing_is_there_until_it_is_finished(place: Place) -> None:
    with place.locked(lambda: None):
        draft = place.begin()
        (draft / "config.json").write_text("{}")
        (draft / "old.json.1234.part").write_text("left over")
        assert place.fetched() is None
        assert not place.directory.exists()
        place.finish(DONE)
    assert place.fetched() == DONE
    assert sorted(path.name for path in place.directory.iterdir()) == [MARK, "config.json"]
    assert not place.draft.exists()


def test_all_that_the_mark_vouches_for_is_on_the_disk_before_it_counts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda opened: done.append(Path(os.readlink(f"/proc/self/fd/{opened}")).name))
    monkeypatch.setattr(os, "replace", lambda *_: done.append("renamed"))
    with place.locked(lambda: None):
        draft = place.begin()
        (draft / "sub").mkdir()
        (draft / "sub" / "b.json").write_text("{}")
        (draft / "model.safetensors").write_bytes(b"w")
        place.finish(DONE)
    assert sorted(done[:-2]) == sorted(["sub", "b.json", "model.safetensors", MARK, draft.name])
    assert done[-2:] == ["renamed", place.root.name]


@pytest.mark.parametrize(("number", "of_directories", "fails"), [
    (errno.EINVAL, True, False), (errno.EIO, True, True), (errno.EINVAL, False, True),
])  # fmt: skip
def test_only_a_file_system_that_cannot_sync_directories_is_excused(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int, of_directories: bool, fails: bool
) -> None:
    def refuse(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode) is of_directories:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with place.locked(lambda: None):
        place.begin()
        if not fails:
            place.finish(DONE)
        else:
            with pytest.raises(FetchFailed) as failed:
                place.finish(DONE)
            assert failed.value.reason is Reason.VOLUME_UNUSABLE
    assert place.directory.exists() is not fails


def test_a_draft_outlives_the_process(place: Place) -> None:
    with place.locked(lambda: None):
        (place.begin() / "a.part").write_text("half")
    with place.locked(lambda: None):
        assert (place.begin() / "a.part").read_text() == "half"


@pytest.mark.parametrize("mark", [None, "", "{", "[]", '{"digest": "x"}', '{"digest": "x", "bytes": "many"}'])
def test_a_directory_without_a_sound_mark_is_not_trusted(place: Place, mark: str | None) -> None:
    place.directory.mkdir(parents=True)
    (place.directory / "config.json").write_text("{}")
    if mark is not None:
        (place.directory / MARK).write_text(mark)
    assert place.fetched() is None
    place.begin()
    assert not place.directory.exists()


def test_whoever_comes_second_is_told_to_wait(place: Place) -> None:
    told: list[str] = []
    with place.locked(lambda: told.append("first")):
        assert told == []
    with place.locked(lambda: told.append("alone again")):
        assert told == []
