"""Whether an engine that has not died still works: it answers a cheap question between two steps, or at least computes.

vLLM's own check sees a dead engine only. A stopped or deadlocked one keeps its processes and its requests for ever.
"""

import asyncio
import faulthandler
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
    """Seconds that the engine owes an answer, and seconds since its processes last computed; None: out of our sight."""

    unanswered_s: float
    idle_s: float | None


def hung(signs: Signs) -> str | None:
    """Why the engine counts as hung, or None."""
    if signs.unanswered_s >= STUCK_S:
        return f"no step of the engine ended in {STUCK_S:.0f} s"
    if signs.idle_s is not None and min(signs.unanswered_s, signs.idle_s) >= SILENT_S:
        return f"the engine neither answered nor computed for {SILENT_S:.0f} s"
    return None


async def watch(
    ask: Callable[[], Awaitable[object]], cpu_seconds: Callable[[], float] | None, clock: Callable[[], float]
) -> str:
    """Ask the engine again and again; returns why when it hangs. What `ask` raises passes: the engine is dead then.

    `ask` is answered by the engine between two steps, `cpu_seconds` is what its processes have used up so far; None
    where some compute elsewhere, on other nodes or as children of Ray: silence alone proves nothing there.
    """
    while True:
        reason = await _wait_for_answer(asyncio.ensure_future(ask()), cpu_seconds, clock)
        if reason is not None:
            return reason
        await asyncio.sleep(_ASK_EVERY_S)


async def _wait_for_answer(
    answer: asyncio.Future[object], cpu_seconds: Callable[[], float] | None, clock: Callable[[], float]
) -> str | None:
    asked = worked = clock()
    used = cpu_seconds() if cpu_seconds is not None else 0.0
    try:
        while not (await asyncio.wait({answer}, timeout=_LOOK_EVERY_S))[0]:
            now, before, used = clock(), used, cpu_seconds() if cpu_seconds is not None else 0.0
            if used - before > _NO_WORK:
                worked = now
            reason = hung(Signs(now - asked, now - worked if cpu_seconds is not None else None))
            if reason is not None:
                return reason
        answer.result()
        return None
    finally:
        answer.cancel()


def ending(exit_codes: Sequence[int | None], raised: BaseException | None) -> str:
    """What is said of an engine that died, or whose watch raised: of that its type, which tells whose fault it was."""
    codes = ", ".join(map(str, exit_codes))
    died = f"the engine's process died (exit code {codes})" if codes else "the engine died"
    if raised is None:
        return died
    lives = bool(exit_codes) and all(code is None for code in exit_codes)
    return f"{'the engine cannot be watched' if lives else died}: {type(raised).__name__}"


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
            # Bytes: a process may bear any name.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            parent, used = int(fields[1]), int(fields[11]) + int(fields[12])
        except (OSError, ValueError, IndexError):  # it ended while we looked
            continue
        ticks[int(folder.name)] = used
        children.setdefault(parent, []).append(int(folder.name))
    found, left = 0, list(pids)
    while left:
        pid = left.pop()
        found += ticks.get(pid, 0)
        left += children.get(pid, [])
    return found / os.sysconf("SC_CLK_TCK")
