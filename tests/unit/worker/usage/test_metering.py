"""A replica's metering put together: what is kept, lost, counted, and sent at the end."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llmservice_worker.args import LEDGER_TOKEN, LEDGER_URL, WorkerArgs
from llmservice_worker.usage.event import UsageEvent
from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import Away, Stored, Verdict
from llmservice_worker.usage.metering import Recorder, metering
from llmservice_worker.usage.sender import Sender
from llmservice_worker.usage.spool import MIB, Spool

ORIGIN = {"namespace": "team-a", "service": "smol", "revision": "smol-abc123"}
ARGS: dict[str, Any] = {"model_id": "smol", "source": "/models/smol"}


def event(number: int = 0, model: str = "smol") -> UsageEvent:
    """By number."""
    return UsageEvent(
        id=f"{number:032x}", time="2026-11-23T04:05:06.789Z", request_id="r", key_id="k", **ORIGIN, model=model,
        adapter=None, route="completions", prompt_tokens=16, cached_tokens=12, completion_tokens=5,
        outcome="completed", status=200, stream=False, duration_ms=10, ttft_ms=None,
    )  # fmt: skip


class Ledger:
    """Stores, unless it is away."""

    def __init__(self, is_away: bool = False) -> None:
        self.is_away = is_away
        self.stored: list[int] = []

    async def post(self, lines: Sequence[bytes]) -> Verdict:
        if self.is_away:
            return Away("it answered 503")
        self.stored += [int(json.loads(line)["id"], 16) for line in lines]
        return Stored()


class World:
    """A recorder on a real folder."""

    def __init__(self, folder: Path, ledger: Ledger | None = None, most_bytes: int = MIB) -> None:
        self.registry = CollectorRegistry()
        self.ledger = ledger or Ledger()
        self.now = 0.0
        figures = UsageFigures(self.registry, lambda: self.now)
        spool = Spool(folder, most_bytes, lambda: self.now)
        self.recorder = Recorder(spool, Sender(spool, self.ledger, figures), figures)

    def figure(self, name: str, **labels: str) -> float | None:
        """As Prometheus has it."""
        return self.registry.get_sample_value(f"llmservice_usage_{name}", labels)


async def test_every_event_that_was_recorded_is_stored_by_the_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.recorder.start()
    for number in range(1200):
        world.recorder.record(event(number))
    assert await world.recorder.stop(10)
    assert world.ledger.stored == list(range(1200))
    assert (world.figure("events_total"), world.figure("lost_total"), world.figure("spool_bytes")) == (1200, 0, 0)


async def test_tokens_are_counted_by_kind_and_model(tmp_path: Path) -> None:
    world = World(tmp_path)
    for model in ("smol", "smol", "sql"):
        world.recorder.record(event(model=model))
    kinds = {kind: world.figure("tokens_total", kind=kind, model="smol") for kind in ("prompt", "cached", "completion")}
    assert kinds == {"prompt": 32, "cached": 24, "completion": 10}
    assert world.figure("tokens_total", kind="prompt", model="sql") == 16


async def test_while_the_ledger_is_away_events_wait_on_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path, Ledger(is_away=True))
    world.recorder.start()
    world.recorder.record(event(7))
    world.recorder.record(event(8))
    assert not await world.recorder.stop(0.3)
    assert world.figure("spool_bytes") == 2 * len(event(7).line())
    assert [world.figure("unsent_total", what=what) for what in ("events", "tokens")] == [2, 2 * (16 + 5)]
    assert "2 usage events (42 tokens) are not sent and go with the pod" in caplog.text
    world.now = 60
    assert world.figure("oldest_seconds") == 60
    assert world.figure("lost_total") == 0
    after = World(tmp_path)
    after.recorder.start()
    assert await after.recorder.stop(10)
    assert (after.ledger.stored, after.figure("spool_bytes"), after.figure("oldest_seconds")) == ([7, 8], 0, 0)
    assert after.figure("unsent_total", what="events") == 0


async def test_beyond_the_spools_bound_events_are_lost_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, Ledger(is_away=True), most_bytes=len(event().line()))
    world.recorder.start()
    world.recorder.record(event(1))
    await world.recorder.stop(0.3)
    more = World(tmp_path, Ledger(is_away=True), most_bytes=len(event().line()))
    more.recorder.start()
    more.recorder.record(event(2))
    await more.recorder.stop(0.3)
    assert (more.figure("events_total"), more.figure("lost_total")) == (1, 1)
    assert "lost, 1 and maybe more: the spool" in caplog.text


async def test_a_disk_that_fails_loses_events_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    world = World(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        world.recorder.start()
        world.recorder.record(event(1))
        assert await world.recorder.stop(10)
    assert (world.ledger.stored, world.figure("lost_total")) == ([], 1)
    assert "No space left on device" in caplog.text


async def test_events_in_memory_are_bounded_while_the_disk_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)  # not started: nothing is written
    for number in range(20_010):
        world.recorder.record(event(number))
    assert world.figure("lost_total") == 10
    assert [record.message for record in caplog.records] == [
        "usage events are lost, 1 and maybe more: the disk does not answer"
    ]


@pytest.mark.parametrize(
    ("origin", "env"), [(None, {LEDGER_URL: "http://ledger"}), (ORIGIN, {}), (ORIGIN, {LEDGER_URL: ""})]
)
def test_without_a_ledger_or_an_origin_there_is_no_metering(origin: Any, env: dict[str, str]) -> None:
    registry = CollectorRegistry()
    assert metering(WorkerArgs(**ARGS, origin=origin), env, registry) is None
    assert list(registry.collect()) == []


async def test_with_a_ledger_there_is() -> None:
    registry = CollectorRegistry()
    found = metering(
        WorkerArgs(**ARGS, origin=ORIGIN), {LEDGER_URL: "http://ledger", LEDGER_TOKEN: "/nowhere"}, registry
    )
    assert found is not None
    assert registry.get_sample_value("llmservice_usage_lost_total") == 0
    await found.stop()
