"""What is kept on disk of usage events, through kills, full disks and several processes."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmservice_worker.usage.spool import MIB, Held, Segment, Spool, SpoolFull

SEGMENT = 200


def lines(first: int, count: int) -> list[bytes]:
    """Events by number."""
    return [json.dumps({"id": number}).encode() + b"\n" for number in range(first, first + count)]


def a_spool(folder: Path, most_bytes: int = MIB, clock: Callable[[], float] = lambda: 0.0) -> Spool:
    """With small segments."""
    return Spool(folder, most_bytes, clock, segment_bytes=SEGMENT)


def taken(spool: Spool) -> list[int]:
    """All events of the spool in its order; they are removed."""
    found: list[int] = []
    while (segment := spool.oldest()) is not None:
        held = segment.read()
        assert held.torn == 0
        found += [json.loads(line)["id"] for line in held.lines]
        segment.remove()
    return found


def segments(folder: Path) -> list[Path]:
    """Files of events."""
    return sorted(folder.glob("[0-9]*.jsonl"))


def test_events_come_out_in_the_order_that_they_went_in(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "new" / "folder")
    for first in range(0, 100, 10):
        spool.append(lines(first, 10))
    assert len(segments(tmp_path / "new" / "folder")) > 1
    assert taken(spool) == list(range(100))
    assert segments(tmp_path / "new" / "folder") == []
    assert taken(spool) == []


def test_what_is_unsent_is_told_and_left_to_be_sent(tmp_path: Path) -> None:
    spool, another = a_spool(tmp_path), a_spool(tmp_path)
    spool.append(lines(0, 10))
    another.append(lines(10, 2))
    spool.append(lines(20, 1))
    assert [json.loads(line)["id"] for line in spool.unsent()] == [*range(10), 20], "and nothing that is another's"
    another.close()
    assert sorted(taken(a_spool(tmp_path))) == [*range(12), 20]


def test_what_is_being_sent_is_not_written_any_more(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(lines(0, 1))
    sending = spool.oldest()
    assert sending is not None
    spool.append(lines(1, 1))
    assert len(sending.read().lines) == 1
    sending.remove()
    assert taken(spool) == [1]


def test_a_process_that_comes_after_takes_over_what_was_left(tmp_path: Path) -> None:
    before = a_spool(tmp_path)
    before.append(lines(0, 30))
    before.append(lines(30, 1))
    before.close()  # as its end does
    after = a_spool(tmp_path)
    after.append(lines(31, 1))
    assert taken(after) == list(range(32))


def test_what_another_process_writes_or_sends_is_left_to_it(tmp_path: Path) -> None:
    other, ours = a_spool(tmp_path), a_spool(tmp_path)
    other.append(lines(0, 1))
    ours.append(lines(1, 1))
    assert taken(ours) == [1]
    sending = other.oldest()
    assert sending is not None
    assert ours.oldest() is None
    sending.close()
    assert taken(ours) == [0]


def test_a_torn_last_line_is_dropped_and_said(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(lines(0, 2))
    (path,) = segments(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"id": 2')
    segment = spool.oldest()
    assert segment is not None
    assert segment.read() == Held(tuple(line.rstrip() for line in lines(0, 2)), torn=1)


@pytest.mark.parametrize("garbage", [b"\0" * 40 + b"\n", b"[1]\n", b"\xff\xfe\n", b"\n"])
def test_a_line_that_is_no_event_spoils_no_other(tmp_path: Path, garbage: bytes) -> None:
    first, second = lines(0, 2)
    tmp_path.joinpath("000000000001.jsonl").write_bytes(first + garbage + second)
    segment = a_spool(tmp_path).oldest()
    assert segment is not None
    assert segment.read() == Held((first.rstrip(), second.rstrip()), torn=1)


def test_the_bound_holds_for_all_that_is_in_the_folder(tmp_path: Path) -> None:
    other = a_spool(tmp_path)
    other.append(lines(0, 50))
    spool = a_spool(tmp_path, most_bytes=sum(path.stat().st_size for path in segments(tmp_path)) + 20)
    spool.append(lines(50, 1))
    with pytest.raises(SpoolFull, match="holds its 0 MiB"):
        spool.append(lines(51, 1))
    assert taken(spool) == [*range(50), 50]
    spool.append(lines(52, 1))
    assert taken(spool) == [52]


def failing(name: str, code: int, after: int = 0) -> Callable[..., int]:
    """The function of `os` by that name, which fails after so many calls; a write may come through in part."""
    real: Callable[..., int] = getattr(os, name)
    calls = iter(range(10**6))

    def call(descriptor: int, *rest: bytes) -> int:
        if next(calls) < after:
            return real(descriptor, *(part[:5] for part in rest))
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize(("name", "after"), [("write", 0), ("write", 1), ("fsync", 0)])
def test_a_disk_that_fails_takes_a_batch_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    spool = a_spool(tmp_path)
    spool.append(lines(0, 2))
    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing(name, errno.ENOSPC, after))
        with pytest.raises(OSError, match="No space"):
            spool.append(lines(2, 3))
    spool.append(lines(5, 1))
    assert taken(spool) == [0, 1, 5]


def test_a_disk_that_takes_nothing_back_leaves_a_torn_line_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = a_spool(tmp_path)
    spool.append(lines(0, 1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", failing("write", errno.EIO, after=1))
        patched.setattr(os, "ftruncate", failing("ftruncate", errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            spool.append(lines(1, 1))
    spool.append(lines(2, 1))
    first, second = spool.oldest(), spool.oldest()
    assert first is not None
    assert second is not None
    assert [json.loads(line)["id"] for line in first.read().lines + second.read().lines] == [0, 2]
    assert first.read().torn == 1


def test_a_folder_that_cannot_be_made_is_an_error_of_the_append(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        a_spool(tmp_path / "file" / "spool").append(lines(0, 1))


def test_the_oldest_waits_since_it_was_first_seen(tmp_path: Path) -> None:
    now = [100.0]
    spool = a_spool(tmp_path, clock=lambda: now[0])
    assert spool.standing().since is None
    spool.append(lines(0, 30))
    assert spool.standing().since == 100
    now[0] = 160
    spool.append(lines(30, 1))
    assert (spool.standing().since, spool.standing().size) == (100, sum(map(len, lines(0, 31))))
    first = spool.oldest()
    assert first is not None
    first.remove()
    assert spool.standing().since == 160
    assert taken(spool) == [30]
    assert (spool.standing().since, spool.standing().size) == (None, 0)


def test_what_comes_and_goes_at_once_is_never_old(tmp_path: Path) -> None:
    now = [0.0]
    spool = a_spool(tmp_path, clock=lambda: now[0])
    for step in range(5):
        now[0] = 100.0 * step
        spool.append(lines(step, 1))
        assert spool.standing().since == now[0]
        assert taken(spool) == [step]


def test_times_of_files_decide_nothing(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    for number in range(3):
        spool.append(lines(20 * number, 20))
    for age, path in enumerate(segments(tmp_path)):
        os.utime(path, (age * -(10**8), 2**33 - age))
    assert taken(spool) == list(range(60))


def test_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    tmp_path.joinpath("000000000041.jsonl").write_bytes(b"".join(lines(0, 1)))
    spool = a_spool(tmp_path)
    spool.append(lines(1, 1))
    assert [path.name for path in segments(tmp_path)] == ["000000000041.jsonl", "000000000042.jsonl"]


def test_a_number_that_another_process_took_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, other = a_spool(tmp_path), a_spool(tmp_path)
    other.append(lines(0, 1))
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    spool.append(lines(1, 1))
    monkeypatch.undo()
    other.close()
    assert taken(spool) == [0, 1]


def test_a_segment_that_goes_twice_is_gone(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(lines(0, 1))
    segment = spool.oldest()
    assert isinstance(segment, Segment)
    segment.path.unlink()
    segment.remove()
    assert segments(tmp_path) == []


def test_refused_events_are_kept_within_their_own_bound(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    assert spool.set_aside(b"{}", most_bytes=5)
    assert not spool.set_aside(b"{}", most_bytes=5)
    assert tmp_path.joinpath("refused.jsonl").read_bytes() == b"{}\n"
    assert spool.standing().size == 0
    assert spool.oldest() is None
