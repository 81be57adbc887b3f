"""A replica that is killed at any moment: what it had kept reaches the ledger, at least once."""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from tests.integration.usage_receiver import receiving

EVENTS = 400


async def worker_process(folder: Path, url: str, count: int, token: str = "token") -> Process:
    """A process that records so many events for the ledger at `url`."""
    (folder / "token").write_text(token)
    arguments = [str(folder / "spool"), url, str(folder / "token"), str(count)]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.usage_worker", *arguments, stdout=PIPE
    )


async def kept(process: Process, count: int | None = None) -> set[str]:
    """The ids that it says it has kept: the first `count`, or all until its end."""
    found: set[str] = set()
    assert process.stdout is not None
    while (count is None or len(found) < count) and (line := await process.stdout.readline()).endswith(b"\n"):
        found.add(line.decode().strip())
    return found


async def test_killed_between_append_and_send(tmp_path: Path) -> None:
    async with receiving() as ledger:
        await ledger.die()
        process = await worker_process(tmp_path, ledger.url, EVENTS)
        ids = await kept(process, 50)
        process.send_signal(signal.SIGKILL)
        ids |= await kept(process)
        assert await process.wait() == -signal.SIGKILL
        await ledger.start()
        assert not ledger.stored
        after = await worker_process(tmp_path, ledger.url, 0)
        await kept(after)
        assert await after.wait() == 0
        assert ids <= set(ledger.stored)
        assert list((tmp_path / "spool").glob("[0-9]*")) == []


async def test_killed_while_the_ledger_answers(tmp_path: Path) -> None:
    async with receiving() as ledger:
        ledger.lets_go.clear()
        process = await worker_process(tmp_path, ledger.url, EVENTS)
        ids = await kept(process, 5)
        await ledger.reached.wait()
        process.send_signal(signal.SIGKILL)
        ids |= await kept(process)
        await process.wait()
        ledger.lets_go.set()
        after = await worker_process(tmp_path, ledger.url, 0)
        await kept(after)
        assert await after.wait() == 0
        assert ids <= set(ledger.stored)
        assert max(ledger.stored.values()) > 1, "stored, and not known to be: sent again"


async def test_killed_again_and_again_beside_one_that_lives(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with receiving() as ledger:
        beside = await worker_process(tmp_path, ledger.url, EVENTS)
        ids: set[str] = set()
        for _ in range(6):
            ledger.failures += [500] * chance.randrange(3)
            process = await worker_process(tmp_path, ledger.url, EVENTS)
            ids |= await kept(process, chance.randrange(1, 120))
            process.send_signal(signal.SIGKILL)
            ids |= await kept(process)
            await process.wait()
        ids |= await kept(beside)
        assert await beside.wait() == 0
        last = await worker_process(tmp_path, ledger.url, 0)
        await kept(last)
        assert await last.wait() == 0
        assert ids <= set(ledger.stored)
        assert list((tmp_path / "spool").glob("[0-9]*")) == []
