"""Whether an engine that has not died still works: it answers a cheap question between two steps, or at least computes.

vLLM's own check sees a dead engine only. A stopped or deadlocked one keeps its processes and its requests for ever.
"""

import asyncio
import faulthandler
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SILENT_S: Final = 15.0
"""How long an engine may neither answer nor compute."""
STUCK_S: Final = 120.0
"""How long an engine may compute without an answer: no step of a model takes so long, a spinning process does."""
STALLED_S: Final = 30.0
"""How long this process's event loop may stand still."""
_ASK_EVERY_S: Final = 2.0
_LOOK_EVERY_S: Final = 1.0
_NO_WORK: Final = 0.05
"""CPU seconds that the threads of an engine may take between two looks while it does nothing."""


@dataclass(frozen=True)
class Signs:
    """Seconds that the engine owes an answer, and seconds since its processes last computed."""

    unanswered_s: float
    idle_s: float


def hung(signs: Signs) -> str | None:
    """Why the engine counts as hung, or None."""
    if signs.unanswered_s >= STUCK_S:
        return f"no step of the engine ended in {STUCK_S:.0f} s"
    if min(signs.unanswered_s, signs.idle_s) >= SILENT_S:
        return f"the engine neither answered nor computed for {SILENT_S:.0f} s"
    return None


async def watch(
    ask: Callable[[], Awaitable[object]], cpu_seconds: Callable[[], float], clock: Callable[[], float]
) -> str:
    """Ask the engine again and again; returns why when it hangs. What `ask` raises passes: the engine is dead then.

    `ask` is answered by the engine between two steps, `cpu_seconds` is what its processes have used up so far.
    """
    while True:
        reason = await _wait_for_answer(asyncio.ensure_future(ask()), cpu_seconds, clock)
        if reason is not None:
            return reason
        await asyncio.sleep(_ASK_EVERY_S)


async def _wait_for_answer(
    answer: asyncio.Future[object], cpu_seconds: Callable[[], float], clock: Callable[[], float]
) -> str | None:
    asked = worked = clock()
    used = cpu_seconds()
    try:
        while not (await asyncio.wait({answer}, timeout=_LOOK_EVERY_S))[0]:
            now, before, used = clock(), used, cpu_seconds()
            if used - before > _NO_WORK:
                worked = now
            reason = hung(Signs(unanswered_s=now - asked, idle_s=now - worked))
            if reason is not None:
                return reason
        answer.result()
        return None
    finally:
        answer.cancel()


async def end_when_stalled(after_s: float = STALLED_S, tick_s: float = 1.0) -> None:
    """End the process, its stacks on stderr, when its event loop stands still: nobody inside could notice."""
    try:
        while True:
            faulthandler.dump_traceback_later(after_s, exit=True)
            await asyncio.sleep(tick_s)
    finally:
        faulthandler.cancel_dump_traceback_later()


def cpu_seconds(pids: Iterable[int], proc: Path = Path("/proc")) -> float:
    """CPU seconds that these processes and their descendants have used; a process that is gone counts nothing."""
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in proc.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = 0, list(pids)
    while left:
        pid = left.pop()
        found += ticks.get(pid, 0)
        left += children.get(pid, [])
    return found / os.sysconf("SC_CLK_TCK")
