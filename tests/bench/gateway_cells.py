"""The cells, and the rounds in which every target is asked for each of them in an order that rotates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from hack.cluster.progress import Steps
from tests.bench.gateway_asking import Ask, Load, Run
from tests.bench.gateway_target import Target

Runs = dict[tuple[str, str], list[Run]]
"""By target and cell, one run a round."""

LATENCY: Final = "1k_0ms_1"
THROUGHPUT: Final = "1k_0ms_32"
CROWD: Final = "stream_512"
SCALE: Final = (LATENCY, THROUGHPUT)
"""What is asked at other numbers of models and keys."""

_STREAM: Final = Ask(seconds=30, warm=0)
_CROWD_SECONDS: Final = 60.0
UNARY: Final[Mapping[str, Ask]] = {
    f"{kilobytes}k_{delay}ms_{at_once}": Ask(body=kilobytes * 1024, delay=delay, at_once=at_once)
    for kilobytes in (1, 32)
    for delay in (0, 20)
    for at_once in (1, 32)
}
STREAMS: Final[Mapping[str, Ask]] = {
    f"stream_{at_once}": replace(_STREAM, at_once=at_once, streams=at_once) for at_once in (1, 32)
}
CELLS: Final[Mapping[str, Ask]] = {
    **UNARY,
    **STREAMS,
    CROWD: replace(_STREAM, at_once=512, streams=512, seconds=_CROWD_SECONDS),
}

SLOW: Final = ("litellm",)
"""Answers so seldom that it needs more time to be measured, and at CROWD so much that one round is enough."""
_SLOW_TIMES: Final = 4.0

BOUND_US: Final = 10_000.0
"""The p99 within which a rate counts as borne."""
_STEPS: Final = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.35, 0.2)
_CONNECTIONS: Final = 256


@dataclass(frozen=True)
class Schedule:
    """How much is asked: `rounds` of all cells, of CROWD `crowds`; the search for a rate `searches` times."""

    rounds: int
    crowds: int
    searches: int
    cells: Sequence[str]


FULL: Final = Schedule(rounds=7, crowds=3, searches=3, cells=tuple(CELLS))
QUICK: Final = Schedule(rounds=2, crowds=1, searches=1, cells=(LATENCY, THROUGHPUT, "stream_32", CROWD))


def rotated(targets: Sequence[Target], turn: int) -> list[Target]:
    """The targets in the order of this round."""
    first = turn % len(targets)
    return [*targets[first:], *targets[:first]]


def measure(load: Load, targets: Sequence[Target], scaled: Sequence[Target], schedule: Schedule, steps: Steps) -> Runs:
    """All rounds of all cells; of `scaled` targets only those of SCALE."""
    runs: Runs = defaultdict(list)
    for turn in range(schedule.rounds):
        with steps.step(f"round {turn + 1} of {schedule.rounds}"):
            for cell in schedule.cells:
                for target in rotated([*targets, *(scaled if cell in SCALE else ())], turn):
                    if _due(target, cell, turn, schedule):
                        with target.awake():
                            runs[target.name, cell].append(load.run(target, _ask_of(target, cell)))
    return runs


def highest_rate(load: Load, target: Target, peak: float, alone: float) -> float:
    """The highest of some shares of the peak, in requests/s, at which p99 stays within BOUND_US; 0 where none does.

    `alone` is the median latency of one request at a time, in microseconds: beyond the bound no rate is tried.
    """
    for share in _STEPS if alone <= BOUND_US else ():
        rate = max(1.0, peak * share)
        run = load.run(target, Ask(at_once=_CONNECTIONS, rate=rate, seconds=0.8, warm=0.2, patience=1))
        if run.requests and run.p99_us <= BOUND_US and not run.errors and not run.unsent:
            return run.rps
    return 0.0


def highest_rates(
    load: Load, targets: Sequence[Target], runs: Runs, schedule: Schedule, steps: Steps
) -> dict[str, float]:
    """For each target the median of so many searches."""
    found: dict[str, list[float]] = defaultdict(list)
    for turn in range(schedule.searches):
        with steps.step(f"highest rate at p99 < 10 ms, {turn + 1} of {schedule.searches}"):
            for target in rotated(targets, turn):
                peak = median(run.rps for run in runs[target.name, THROUGHPUT])
                alone = median(run.p50_us for run in runs[target.name, LATENCY])
                with target.awake():
                    found[target.name].append(highest_rate(load, target, peak, alone))
    return {name: median(rates) for name, rates in found.items()}


def _due(target: Target, cell: str, turn: int, schedule: Schedule) -> bool:
    if cell != CROWD:
        return True
    return turn < (1 if target.name in SLOW else schedule.crowds)


def _ask_of(target: Target, cell: str) -> Ask:
    wanted = CELLS[cell]
    slow = target.name in SLOW and not wanted.streams
    return replace(wanted, seconds=wanted.seconds * _SLOW_TIMES) if slow else wanted
