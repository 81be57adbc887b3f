"""When events are sent, again, set aside and forgotten."""

import asyncio
import errno
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import Away, Refused, Stored, Verdict
from llmservice_worker.usage.sender import Sender, backoff, waited
from llmservice_worker.usage.spool import MIB, Spool

AWAY = Away("it answered 503")


def lines(count: int) -> list[bytes]:
    """Events by number."""
    return [json.dumps({"id": number}).encode() + b"\n" for number in range(count)]


class Ledger:
    """Answers in turn, then stores."""

    def __init__(self, *answers: Verdict) -> None:
        self.answers = list(answers)
        self.posts: list[list[int]] = []
        self.stored: list[int] = []

    async def post(self, lines: Sequence[bytes]) -> Verdict:
        ids = [json.loads(line)["id"] for line in lines]
        self.posts.append(ids)
        answer = self.answers.pop(0) if self.answers else Stored()
        if isinstance(answer, Stored):
            self.stored += ids
        return answer


class World:
    """A spool, a ledger, and what became of both."""

    def __init__(self, folder: Path, *answers: Verdict) -> None:
        self.folder = folder
        self.registry = CollectorRegistry()
        self.spool = Spool(folder, MIB, lambda: 0.0)
        self.ledger = Ledger(*answers)
        self.pauses: list[float] = []
        figures = UsageFigures(self.registry, lambda: 0.0)
        self.sender = Sender(self.spool, self.ledger, figures, self._pause, lambda: 0.5)

    async def _pause(self, seconds: float, _: asyncio.Event) -> None:
        self.pauses.append(seconds)

    async def sent(self, count: int) -> None:
        """Returns when so many events were sent."""
        self.spool.append(lines(count))
        self.sender.finish()
        await self.sender.run()

    def lost(self) -> float | None:
        """As Prometheus has it."""
        return self.registry.get_sample_value("llmservice_usage_lost_total")

    def files(self) -> list[str]:
        """What is left on disk."""
        return sorted(path.name for path in self.folder.iterdir())


async def test_what_is_stored_is_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.sent(3)
    assert world.ledger.posts == [[0, 1, 2]]
    assert (world.files(), world.pauses, world.lost()) == ([], [], 0)


async def test_posts_are_of_500_events_at_most(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.sent(1203)
    assert [len(post) for post in world.ledger.posts] == [500, 500, 203]
    assert world.ledger.stored == list(range(1203))


async def test_what_the_ledger_does_not_take_is_offered_again_later_and_later(tmp_path: Path) -> None:
    world = World(tmp_path, *[AWAY] * 9)
    await world.sent(2)
    assert world.ledger.posts == [[0, 1]] * 10
    assert world.pauses == [0.375, 0.75, 1.5, 3, 6, 12, 22.5, 22.5, 22.5]
    assert (world.ledger.stored, world.files(), world.lost()) == ([0, 1], [], 0)


async def test_a_reason_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path, AWAY, AWAY, Away("it answered 401: who"), Stored(), AWAY)
    await world.sent(501)
    with caplog.at_level("INFO"):
        said = [record.message.rpartition(": ")[2] for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["it answered 503", "who", "it answered 503"]


async def test_an_event_that_is_refused_is_set_aside_and_the_others_go(tmp_path: Path) -> None:
    world = World(tmp_path, Refused(1, "too many tokens"), AWAY, Refused(0, "a wrong id"))
    await world.sent(4)
    assert world.ledger.posts == [[0, 1, 2, 3], [0, 2, 3], [0, 2, 3], [2, 3]]
    assert world.ledger.stored == [2, 3]
    assert world.files() == ["refused.jsonl"]
    assert [json.loads(line)["id"] for line in (tmp_path / "refused.jsonl").read_text().splitlines()] == [1, 0]
    assert world.lost() == 2


async def test_an_event_that_is_refused_alone_ends_there(tmp_path: Path) -> None:
    world = World(tmp_path, Refused(0, "no"))
    await world.sent(1)
    assert (world.ledger.posts, world.files()) == ([[0]], ["refused.jsonl"])


async def test_a_refused_event_that_cannot_be_set_aside_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "refused.jsonl").mkdir()
    world = World(tmp_path, Refused(0, "no"))
    await world.sent(2)
    assert world.ledger.stored == [1]
    assert "not kept" in caplog.text


async def test_a_torn_line_is_said_counted_and_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "000000000001.jsonl").write_bytes(b"".join(lines(2)) + b'{"id": 2')
    world = World(tmp_path)
    await world.sent(1)
    assert world.ledger.stored == [0, 1, 0]
    assert "1 usage events in 000000000001.jsonl were not whole" in caplog.text
    assert (world.files(), world.lost()) == ([], 1)


async def test_a_segment_that_is_not_sent_whole_stays_for_the_next_process(tmp_path: Path) -> None:
    world = World(tmp_path)
    second = asyncio.Event()

    async def post(lines: Sequence[bytes]) -> Verdict:
        if len(lines) == 500:
            return Stored()
        second.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.ledger.post = post  # type: ignore[method-assign]
    world.spool.append(lines(501))
    running = asyncio.create_task(world.sender.run())
    await second.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    after = World(tmp_path)
    await after.sent(0)
    assert after.ledger.stored == list(range(501)), "at least once: the ledger knows the first 500"


async def test_a_disk_that_does_not_read_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    world = World(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", broken)
        await world.sent(2)
    assert "Input/output error" in caplog.text
    await world.sender.run()
    assert world.ledger.stored == [0, 1]


async def test_it_sleeps_until_it_is_woken(tmp_path: Path) -> None:
    world = World(tmp_path)
    running = asyncio.create_task(world.sender.run())
    await asyncio.sleep(0)
    world.spool.append(lines(1))
    world.sender.wake()
    world.sender.finish()
    await running
    assert world.ledger.stored == [0]


@pytest.mark.parametrize("chance", [lambda: 0.0, lambda: 0.999])
def test_tries_are_half_a_minute_apart_at_most_and_never_close(chance: Callable[[], float]) -> None:
    pauses = [backoff(failures, chance()) for failures in (1, 2, 7, 50, 10**6)]
    assert all(0.25 <= pause <= 30 for pause in pauses)
    assert pauses == sorted(pauses)


async def test_who_is_in_a_hurry_waits_no_longer_than_after_a_first_failure() -> None:
    hurried = asyncio.Event()
    waiting = asyncio.create_task(waited(3600, hurried))
    await asyncio.sleep(0)
    hurried.set()
    await waiting
    await waited(0, hurried)
