"""Usage events on their way to a ledger that dies, fails, refuses, and is slow; and to disks that run full."""

import dataclasses
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from llmservice_worker.usage.event import UsageEvent
from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import Ledger
from llmservice_worker.usage.metering import Recorder
from llmservice_worker.usage.sender import Sender
from llmservice_worker.usage.spool import MIB, Spool
from tests.eventually import eventually
from tests.integration.usage_receiver import Receiver, receiving
from tests.integration.usage_worker import event

PATIENCE_S = 60


class Worker:
    """A replica's metering on a real folder and a real ledger."""

    def __init__(self, folder: Path, url: str, token: Path, timeout_s: float = 10) -> None:
        self._registry = CollectorRegistry()
        figures = UsageFigures(self._registry, time.monotonic)
        spool = Spool(folder, 8 * MIB, time.monotonic)
        self._ledger = Ledger(url, token, timeout_s)
        self._recorder = Recorder(spool, Sender(spool, self._ledger, figures), figures)
        self.made: list[UsageEvent] = []
        self._recorder.start()

    def record(self, count: int) -> set[str]:
        """So many events; their ids."""
        new = [event() for _ in range(count)]
        for each in new:
            self._recorder.record(each)
        self.made += new
        return {each.id for each in new}

    def figure(self, name: str) -> float:
        """As Prometheus has it."""
        return self._registry.get_sample_value(f"llmservice_usage_{name}") or 0.0

    async def stop(self, most_s: float = PATIENCE_S) -> bool:
        """Whether all was sent."""
        try:
            return await self._recorder.stop(most_s)
        finally:
            await self._ledger.close()


@pytest.fixture
async def ledger() -> AsyncIterator[Receiver]:
    """A ledger."""
    async with receiving() as found:
        yield found


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """The file of a token."""
    return written(tmp_path / "token", "first\n")


def written(path: Path, text: str) -> Path:
    """A file with that text."""
    path.write_text(text)
    return path


def gone(path: Path) -> Path:
    """The path of what was a file."""
    path.unlink()
    return path


async def until_stored(ledger: Receiver, ids: set[str]) -> None:
    """Returns when the ledger has them all."""
    await eventually(lambda: ids <= set(ledger.stored), PATIENCE_S)


async def test_events_are_stored_once_where_nothing_fails(ledger: Receiver, token: Path, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "spool", ledger.url, token)
    ids = worker.record(1300)
    assert await worker.stop()
    assert ledger.stored == dict.fromkeys(ids, 1)
    assert max(ledger.sizes) <= 500
    assert (worker.figure("events_total"), worker.figure("spool_bytes"), worker.figure("lost_total")) == (1300, 0, 0)


async def test_each_post_bears_the_token_that_holds_then(ledger: Receiver, token: Path, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "spool", ledger.url, token)
    await until_stored(ledger, worker.record(1))
    written(token, "second")
    await until_stored(ledger, worker.record(1))
    assert await worker.stop()
    assert ledger.tokens == ["Bearer first", "Bearer second"]


async def test_without_a_token_nothing_is_posted_until_there_is_one(
    ledger: Receiver, token: Path, tmp_path: Path
) -> None:
    worker = Worker(tmp_path / "spool", ledger.url, gone(token))
    ids = worker.record(3)
    await eventually(lambda: worker.figure("spool_bytes") > 0, PATIENCE_S)
    assert ledger.sizes == []
    written(token, "late")
    await until_stored(ledger, ids)
    assert await worker.stop()


async def test_a_ledger_that_dies_gets_all_when_it_is_back(ledger: Receiver, token: Path, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "spool", ledger.url, token)
    await until_stored(ledger, worker.record(5))
    await ledger.die()
    ids = worker.record(700)
    await eventually(lambda: worker.figure("oldest_seconds") > 0, PATIENCE_S)
    await ledger.start()
    await until_stored(ledger, ids)
    assert await worker.stop()
    assert ledger.stored == {each.id: 1 for each in worker.made}


@pytest.mark.parametrize("status", [500, 503, 401, 403, 429, 400])
async def test_a_ledger_that_fails_is_asked_again(ledger: Receiver, token: Path, tmp_path: Path, status: int) -> None:
    ledger.failures += [status, status]
    worker = Worker(tmp_path / "spool", ledger.url, token)
    ids = worker.record(3)
    assert await worker.stop()
    assert (ledger.stored, ledger.sizes) == (dict.fromkeys(ids, 1), [3, 3, 3])


async def test_an_event_that_is_refused_is_set_aside(ledger: Receiver, token: Path, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "spool", ledger.url, token)
    ids = worker.record(4)
    ledger.refused = {worker.made[2].id}
    assert await worker.stop()
    assert set(ledger.stored) == ids - ledger.refused
    (line,) = (tmp_path / "spool" / "refused.jsonl").read_text().splitlines()
    assert json.loads(line) == dataclasses.asdict(worker.made[2])
    assert worker.figure("lost_total") == 1


async def test_an_answer_that_comes_too_late_costs_a_post_and_no_event(
    ledger: Receiver, token: Path, tmp_path: Path
) -> None:
    ledger.lets_go.clear()
    worker = Worker(tmp_path / "spool", ledger.url, token, timeout_s=0.2)
    ids = worker.record(2)
    await eventually(lambda: len(ledger.sizes) >= 2, PATIENCE_S)
    ledger.lets_go.set()
    assert await worker.stop()
    assert set(ledger.stored) == ids
    assert min(ledger.stored.values()) >= 2, "the ledger knows them the second time"


async def test_a_replica_that_ends_does_not_wait_for_ever(ledger: Receiver, token: Path, tmp_path: Path) -> None:
    await ledger.die()
    worker = Worker(tmp_path / "spool", ledger.url, token)
    ids = worker.record(3)
    assert not await worker.stop(most_s=0.5)
    await ledger.start()
    after = Worker(tmp_path / "spool", ledger.url, token)
    assert await after.stop()
    assert set(ledger.stored) == ids


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A volume of 1 MiB."""
    if os.geteuid() != 0:
        pytest.fail("a small volume can only be mounted as root: run the integration tests as root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_loses_events_says_so_and_spoils_none(
    ledger: Receiver, token: Path, small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.die()
    worker = Worker(small / "spool", ledger.url, token)
    worker.record(4000)
    assert not await worker.stop(most_s=3)
    lost = worker.figure("lost_total")
    assert 0 < lost < 4000
    assert "No space left on device" in caplog.text
    await ledger.start()
    after = Worker(small / "spool", ledger.url, token)
    new = after.record(1)
    assert await after.stop()
    assert set(ledger.stored.values()) == {1}
    assert set(ledger.stored) - new < {each.id for each in worker.made}
    assert len(set(ledger.stored) - new) == 4000 - lost
    assert after.figure("lost_total") <= 1, "its own, where the disk was still full"
