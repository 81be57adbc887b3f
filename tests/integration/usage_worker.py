"""A replica's metering in a process of its own, to be killed: it prints each event's id once it is in the spool.

`python -m tests.integration.usage_worker <spool> <ledger's URL> <token file> <events>`; after so many it ends in order.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from llmservice_worker.usage.event import UsageEvent
from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import Ledger
from llmservice_worker.usage.metering import Recorder
from llmservice_worker.usage.sender import Sender
from llmservice_worker.usage.spool import MIB, Spool


class TellingSpool(Spool):
    """Says what it has kept."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Keep them, then print their ids."""
        super().append(lines)
        for line in lines:
            sys.stdout.write(json.loads(line)["id"] + "\n")
        sys.stdout.flush()


def event() -> UsageEvent:
    """Some request."""
    return UsageEvent(
        id=uuid.uuid4().hex, time="2026-11-23T04:05:06.789Z", request_id="r", key_id="k", namespace="team-a",
        service="smol", revision="smol-abc123", model="smol", adapter=None, route="completions", prompt_tokens=16,
        cached_tokens=0, completion_tokens=5, outcome="completed", status=200, stream=False, duration_ms=10,
        ttft_ms=None,
    )  # fmt: skip


async def main(folder: Path, url: str, token: Path, count: int) -> None:
    """Record so many events, then end."""
    figures = UsageFigures(CollectorRegistry(), time.monotonic)
    spool = TellingSpool(folder, MIB, time.monotonic, segment_bytes=4096)
    ledger = Ledger(url, token)
    recorder = Recorder(spool, Sender(spool, ledger, figures), figures)
    recorder.start()
    for _ in range(count):
        recorder.record(event())
        await asyncio.sleep(0.001)  # as requests come, so that kills fall between them
    await recorder.stop(30)
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
