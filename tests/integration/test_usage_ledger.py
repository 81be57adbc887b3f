"""Workers' usage in the real ledger, while both are killed: each event that a worker had kept is stored, and once."""

import asyncio
import random
import signal
import sqlite3
from pathlib import Path

from tests.integration.ledger_stack import LedgerProcess, Stack, ledger_running
from tests.integration.test_usage_kill import kept, worker_process

EVENTS = 300


def stored(database: Path) -> tuple[set[str], int]:
    """The ids of the events in the ledger's own file, and the requests that it has summed up."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        ids = {row[0] for row in connection.execute("select id from events")}
        return ids, connection.execute("select sum(requests) from usage").fetchone()[0]


async def killed_again_and_again(ledger: LedgerProcess, over: asyncio.Event) -> None:
    """The ledger dies and comes back until it is over."""
    while not over.is_set():
        await ledger.kill()
        await ledger.start()


async def lives_of_workers(stack: Stack, folder: Path, chance: random.Random) -> set[str]:
    """What workers that were killed at any moment had kept; the last of them ends in order."""
    token = stack.cluster.worker_token("team-a")
    ids: set[str] = set()
    for _ in range(4):
        process = await worker_process(folder, stack.ledger.url, EVENTS, token)
        ids |= await kept(process, chance.randrange(1, EVENTS // 2))
        process.send_signal(signal.SIGKILL)
        ids |= await kept(process)
        await process.wait()
    return ids


async def test_each_event_is_stored_once_though_both_sides_are_killed(tmp_path: Path) -> None:
    async with ledger_running(tmp_path) as stack:
        over = asyncio.Event()
        killing = asyncio.create_task(killed_again_and_again(stack.ledger, over))
        ids = await lives_of_workers(stack, tmp_path, random.Random(3))
        over.set()
        await killing
        last = await worker_process(tmp_path, stack.ledger.url, 5, stack.cluster.worker_token("team-a"))
        ids |= await kept(last)
        assert await last.wait() == 0
        found, requests = stored(tmp_path / "ledger.sqlite")
        assert ids <= found
        assert requests == len(found)
        assert list((tmp_path / "spool").glob("*")) == [], "nothing is left, nothing was refused"
