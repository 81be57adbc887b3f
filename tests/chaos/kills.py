"""What is killed and when: drawn from one seed, done while requests run, each proven by processes that are gone."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.chaos.processes import is_gone
from tests.eventually import eventually
from tests.integration.relay import Relay

_PATIENCE_S: Final = 600
_LONGEST_DOWN_S: Final = 1.0


@dataclass(frozen=True)
class Part:
    """Something that can be killed. `kill` returns the ids of all processes that end by it; one at a time in `turn`."""

    kill: Callable[[], Awaitable[Sequence[int]]]
    start: Callable[[], Awaitable[None]]
    turn: asyncio.Lock


@dataclass(frozen=True)
class Kill:
    """The `index`th process of a part dies once `after` requests are over, and stays dead for `down_s` seconds."""

    after: int
    part: str
    index: int
    down_s: float


def schedule(chance: random.Random, requests: int, times: int, parts: Mapping[str, int]) -> list[Kill]:
    """So many kills of each part, of which there are so many processes, at random points; in their order."""
    drawn = [
        Kill(chance.randrange(requests), part, chance.randrange(count), chance.uniform(0, _LONGEST_DOWN_S))
        for part, count in parts.items()
        for _ in range(times)
    ]
    return sorted(drawn, key=lambda kill: kill.after)


async def cut_answers(relay: Relay, points: Sequence[int], ended: Callable[[], int]) -> int:
    """Once so many requests are over, the ledger's next answer reaches nobody, though it stored; how often it was so.

    A kill seldom falls between a commit and its answer; this makes sure that events are sent twice.
    """
    for point in points:
        await eventually(partial(_is_over, ended, point), _PATIENCE_S, 0.01)
        relay.cut_after = 0
        await eventually(lambda: relay.cut_after is None, _PATIENCE_S, 0.01)
    return len(points)


def _is_over(ended: Callable[[], int], point: int) -> bool:
    return ended() >= point


class Killer:
    """Carries a schedule out. `ended` says how many requests are over, `say` is told of each kill."""

    def __init__(
        self, parts: Mapping[str, Sequence[Part]], ended: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        self._parts = parts
        self._ended = ended
        self._say = say
        self.done: Counter[str] = Counter()

    async def run(self, kills: Sequence[Kill]) -> None:
        """Returns when all that was killed runs again."""
        async with asyncio.TaskGroup() as tasks:
            for kill in kills:
                await eventually(partial(_is_over, self._ended, kill.after), _PATIENCE_S, 0.01)
                tasks.create_task(self._carry_out(kill))

    async def _carry_out(self, kill: Kill) -> None:
        part = self._parts[kill.part][kill.index]
        async with part.turn:
            at = self._ended()
            gone = await part.kill()
            assert gone
            assert all(map(is_gone, gone)), f"{kill.part}: of {gone} not all are gone"
            self.done[kill.part] += 1
            self._say(f"killed {kill.part} {kill.index} after {at} requests: {', '.join(map(str, gone))} gone")
            await asyncio.sleep(kill.down_s)  # how long it is away is part of what is drawn
            await part.start()
