"""When what is killed, and that a kill that killed nothing is none."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.chaos.kills import Kill, Killer, Part, schedule

NOBODY = 2**22 + 1
"""No process has an id beyond Linux' largest."""


def test_a_seed_draws_the_same_kills_again_in_their_order() -> None:
    drawn = schedule(random.Random(4), 1000, 6, {"gateway": 2, "ledger": 1})
    assert drawn == schedule(random.Random(4), 1000, 6, {"gateway": 2, "ledger": 1})
    assert drawn == sorted(drawn, key=lambda kill: kill.after)
    assert Counter(kill.part for kill in drawn) == {"gateway": 6, "ledger": 6}
    assert {kill.index for kill in drawn if kill.part == "gateway"} == {0, 1}
    assert all(0 <= kill.after < 1000 for kill in drawn)


def part(done: list[str], name: str, *gone: int, turn: asyncio.Lock | None = None) -> Part:
    """One that notes what is done to it."""

    async def kill() -> Sequence[int]:
        done.append(f"kill {name}")
        return gone

    async def start() -> None:
        done.append(f"start {name}")

    return Part(kill, start, turn or asyncio.Lock())


async def test_what_is_due_is_killed_and_started_again_one_at_a_time_in_a_turn() -> None:
    done: list[str] = []
    said: list[str] = []
    turn = asyncio.Lock()
    parts = {"one": [part(done, "one", NOBODY, turn=turn)], "two": [part(done, "two", NOBODY, turn=turn)]}
    killer = Killer(parts, lambda: 5, said.append)
    await killer.run([Kill(0, "one", 0, 0), Kill(5, "two", 0, 0)])
    assert done == ["kill one", "start one", "kill two", "start two"]
    assert killer.done == {"one": 1, "two": 1}
    assert said == [f"killed {each} 0 after 5 requests: {NOBODY} gone" for each in ("one", "two")]


@pytest.mark.parametrize("gone", [(), (NOBODY, os.getpid())])
async def test_a_kill_that_left_a_process_alive_is_said(gone: Sequence[int]) -> None:
    done: list[str] = []
    killer = Killer({"one": [part(done, "one", *gone)]}, lambda: 0, done.append)
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError)):
        await killer.run([Kill(0, "one", 0, 0)])
    assert (done, killer.done) == (["kill one"], {})
