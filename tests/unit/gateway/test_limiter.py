"""The exchange with the ledger, against one in memory that fails when told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmservice_gateway import objects
from llmservice_gateway.desired import TOLD, Maps
from llmservice_gateway.ledger_client import LedgerAway
from llmservice_gateway.limiter import Limiter
from llmservice_gateway.mapdiff import Change
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.runtime import RuntimeFailed
from tests.eventually import eventually
from tests.unit.gateway.builders import apikey

K1 = f"{1:016x}"
NOW = 29_923_492
NOTHING: dict[str, Any] = {"version": 1, "keys": {}, "blocks": {}}
BLOCKED = {"version": 2, "keys": {}, "blocks": {K1: {"until": 5, "budget": "b"}}}
USED = {"version": 2, "keys": {K1: {"minute": NOW, "requests": 1, "tokens": 2}}, "blocks": {}}


@dataclass
class Ledger:
    """Says what it is told to, in order, and then the last of it for ever."""

    answers: list[Any]
    asked: list[Any] = field(default_factory=list)

    async def sync(self, body: Any, wait: float) -> Any:
        assert body["wait"] == wait
        self.asked.append(body)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class HAProxy:
    """Maps and a table in memory; `failures` make so many changes fail."""

    maps: Maps = field(default_factory=lambda: {name: {} for name in TOLD})
    usage: dict[str, tuple[int, int]] = field(default_factory=dict)
    counted: int = 0
    failures: int = 0
    reads: int = 0

    async def read(self) -> Maps:
        self.reads += 1
        return {name: dict(entries) for name, entries in self.maps.items()}

    async def apply(self, changes: Sequence[Change]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeFailed("told so")
        for change in changes:
            if change.value is None:
                del self.maps[change.map][change.key]
            else:
                self.maps[change.map][change.key] = change.value

    async def table(self, name: str) -> str:
        assert name == "requests"
        return f"0x1: key={K1}:{NOW} use=0 exp=1 gpc0=7\n"

    async def count(self, name: str, entries: Mapping[str, tuple[int, int]]) -> None:
        assert name == "usage"
        self.usage |= entries
        self.counted += len(entries)


@asynccontextmanager
async def running(
    ledger: Ledger, haproxy: HAProxy, wait: float = 0.001, resync: float = 3600
) -> AsyncIterator[Metrics]:
    metrics = Metrics()
    key = objects.key(apikey(1, limits={"parallel": 1}))
    assert key is not None
    limiter = Limiter(ledger, haproxy, metrics, lambda: [key], "gateway-1", lambda: NOW * 60 + 7.0, resync, wait)
    task = asyncio.create_task(limiter.run())
    try:
        yield metrics
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_tells_its_counts_and_writes_what_it_is_told() -> None:
    ledger, haproxy = Ledger([NOTHING, BLOCKED, USED]), HAProxy()
    async with running(ledger, haproxy) as metrics:
        await eventually(lambda: bool(haproxy.usage) and len(ledger.asked) > 5)
        assert haproxy.maps == {"blocks": {}}
    assert (haproxy.usage, haproxy.counted) == ({f"{K1}:{NOW}": (1, 2)}, 1)
    first, second, third = ledger.asked[:3]
    counted = {K1: {"minute": NOW, "count": 7}}
    assert first == {"gateway": "gateway-1", "version": 0, "wait": 0.001, "requests": counted}
    assert (second["version"], third["version"]) == (1, 2)
    assert haproxy.reads == 1
    synced = metrics.registry.get_sample_value("llmservice_gateway_last_ledger_sync_timestamp_seconds")
    assert synced == NOW * 60 + 7.0


async def test_it_asks_at_once_after_news_and_else_in_its_time() -> None:
    ledger, haproxy = Ledger([NOTHING, BLOCKED, USED]), HAProxy()
    async with running(ledger, haproxy, wait=3600):
        await eventually(lambda: len(ledger.asked) == 3)  # versions 1 and 2 were news; 2 again is none
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(ledger.asked) == 3


FAILURES: dict[str, Callable[[], list[Any]]] = {
    "away": lambda: [BLOCKED, LedgerAway("gone"), LedgerAway("gone"), BLOCKED],
    "not understood": lambda: [BLOCKED, {"version": 3}, [], BLOCKED],
}


@pytest.mark.parametrize("name", FAILURES)
async def test_while_the_ledger_is_away_what_it_said_stays(name: str, caplog: pytest.LogCaptureFixture) -> None:
    ledger, haproxy = Ledger(FAILURES[name]()), HAProxy()
    async with running(ledger, haproxy) as metrics:
        await eventually(lambda: b'failures_total{what="ledger"} 2.0' in metrics.text())
        assert haproxy.maps["blocks"] == {K1: "5|b"}
        asked = len(ledger.asked)
        await eventually(lambda: len(ledger.asked) > asked + 1)
    assert sum("limits hold for this gateway alone" in each.message for each in caplog.records) == 1


async def test_after_a_failure_of_haproxy_its_maps_are_read_anew() -> None:
    ledger, haproxy = Ledger([BLOCKED]), HAProxy(failures=2)
    async with running(ledger, haproxy) as metrics:
        await eventually(lambda: haproxy.maps["blocks"] == {K1: "5|b"})
        assert haproxy.reads == 3
        assert b'failures_total{what="haproxy"} 2.0' in metrics.text()


async def test_what_haproxy_lost_is_told_again_at_the_next_comparison() -> None:
    both = {"version": 1, "keys": USED["keys"], "blocks": BLOCKED["blocks"]}
    haproxy = HAProxy()
    async with running(Ledger([both]), haproxy, resync=0.05):
        for _ in range(2):
            await eventually(lambda: haproxy.maps == {"blocks": {K1: "5|b"}} and bool(haproxy.usage))
            haproxy.maps["blocks"].clear()
            haproxy.usage.clear()
