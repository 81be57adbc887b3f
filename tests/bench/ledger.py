"""`make bench-ledger`: how fast the ledger stores events and reports them, with SQLite; one JSON line last.

EVENTS=20000 in large posts and a twentieth of that in small ones, spread over 30 days and 100 keys; each post is on
disk before its answer.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.integration.ledger_stack import Stack, ledger_running
from tests.unit.gateway.ledger.builders import Json, key, priced, usage

_BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
_DAYS: Final = 30
_KEYS: Final = 100
_SENDERS: Final = 4
_LARGE: Final = 500
_SMALL: Final = 5
_SPAN: Final = f"start_time={int(_BEGIN.timestamp())}&end_time={int(_BEGIN.timestamp()) + _DAYS * 86_400}"


async def measure(folder: Path, count: int) -> Json:
    """Events/s, seconds of reports over all of the events, bytes an event, MB of the process."""
    objects: dict[str, Any] = {"apikeys": [key(number) for number in range(_KEYS)], "llmservices": [priced()]}
    async with ledger_running(folder, objects) as stack:
        at_rest = _memory_mb(stack.ledger.pid, "VmRSS")
        found = {
            "events": count,
            "events_per_s": await _rate(stack, _LARGE, count),
            "events_per_s_small": await _rate(stack, _SMALL, count // 20),
            "report_s": await _seconds(stack, f"usage/completions?{_SPAN}&limit=31&group_by=model&group_by=api_key_id"),
            "costs_s": await _seconds(stack, f"costs?{_SPAN}&limit=31&group_by=line_item"),
            "export_csv_s": await _seconds(stack, f"usage/export?{_SPAN}&format=csv"),
            "export_parquet_s": await _seconds(stack, f"usage/export?{_SPAN}&format=parquet"),
            "rss_mb_at_rest": at_rest,
            "rss_mb_at_most": _memory_mb(stack.ledger.pid, "VmHWM"),
        }
    return found | {"bytes_per_event": _size(folder) // (count + count // 20)}


async def _rate(stack: Stack, of_post: int, count: int) -> float:
    """Events stored a second, by some senders at once."""
    made = [_event(number, count) for number in range(count)]
    posts = iter([made[place : place + of_post] for place in range(0, count, of_post)])

    async def sender() -> None:
        for events in posts:
            assert (await stack.bill(events))["stored"] == len(events)

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_SENDERS):
            tasks.create_task(sender())
    return round(count / (time.monotonic() - began))


def _event(number: int, count: int) -> Json:
    at = _BEGIN + timedelta(days=_DAYS) * number / count
    return usage(at.isoformat(timespec="milliseconds"), key_id=f"{number % _KEYS:016x}")


async def _seconds(stack: Stack, question: str) -> float:
    began = time.monotonic()
    status, said = await stack.get(f"/v1/organization/{question}")
    assert status == 200, said[:300]
    return round(time.monotonic() - began, 3)


def _size(folder: Path) -> int:
    return (folder / "ledger.sqlite").stat().st_size  # the log beside it is of one size


def _memory_mb(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) // 1024


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        found = asyncio.run(measure(Path(folder), int(os.environ.get("EVENTS") or "20000")))
    print(json.dumps({"bench": "ledger", "load_average": round(os.getloadavg()[0], 1), **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
