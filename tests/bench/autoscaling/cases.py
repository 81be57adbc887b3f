"""What the benchmark is run on: the traces of a directory and two made bursts, each with the card that answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tests.bench.autoscaling.accelerators import ACCELERATORS, engine
from tests.bench.autoscaling.fleet import Workload
from tests.bench.autoscaling.kernel import Engine
from tests.bench.autoscaling.traces import DAY_S, Lengths, Windows, again, azure, mooncake, part_of, servegen, steps

COLD_STARTS_S: Final = (5.0, 15.0, 45.0, 120.0, 430.0)
AZURE_RATES: Final = (2, 6, 18)

_SERVEGEN: Final = "servegen-m-small.csv"
_AZURE: Final = "azure-2023-conversation.csv.gz"
_MOONCAKE: Final = "mooncake-conversation.jsonl.gz"
_MOONCAKE_RATE: Final = 4
_SHARE: Final = 1 / 64
_PART_S: Final = 6 * 3600
_REPORT_DAYS: Final = (7.0, 14.0)
TUNING: Final = "tuning"
_TUNING_DAYS: Final = (0.0, 7.0)
_STEP: Final = ((1800, 4.0), (1800, 40.0), (1800, 4.0))
_BURSTS: Final = ((300, 30.0), (600, 2.0)) * 8


@dataclass(frozen=True)
class Case:
    """One workload, drawn anew for each seed."""

    name: str
    engine: Engine
    draw: Callable[[int, int], Workload]
    """(seed, of how many)."""


def cases(directory: Path) -> list[Case]:
    """All that the report is of; raises ValueError or OSError with the file that cannot be read."""
    missing = [name for name in (_AZURE, _SERVEGEN, _MOONCAKE) if not (directory / name).is_file()]
    if missing:
        page = "docs/benchmarks/autoscaling.md"
        raise ValueError(f"TRACES={directory}: lacks {', '.join(missing)}; {page} says what they are")
    like, windows, long = azure(directory / _AZURE), servegen(directory / _SERVEGEN), mooncake(directory / _MOONCAKE)
    small, large = engine(ACCELERATORS["a100-80g"]), engine(ACCELERATORS["h100-80g"])
    return [
        Case("servegen", small, _parts(windows, "servegen", _REPORT_DAYS, like)),
        *(Case(f"azure-x{rate}", small, _repeated(like, f"azure-x{rate}", rate)) for rate in AZURE_RATES),
        Case("mooncake", large, _repeated(long, "mooncake", _MOONCAKE_RATE)),
        Case("step", small, _made("step", _STEP, like)),
        Case("bursts", small, _made("bursts", _BURSTS, like)),
    ]


def tuning(directory: Path) -> Case:
    """What settings that no curve shows were chosen on: days 1–7 of ServeGen."""
    like, windows = azure(directory / _AZURE), servegen(directory / _SERVEGEN)
    return Case(TUNING, engine(ACCELERATORS["a100-80g"]), _parts(windows, TUNING, _TUNING_DAYS, like))


def _parts(windows: Windows, name: str, days: tuple[float, float], like: Lengths) -> Callable[[int, int], Workload]:
    """Six hours per seed, spread evenly over the days and so over the times of day."""

    def draw(seed: int, among: int) -> Workload:
        span = (days[1] - days[0]) * DAY_S - _PART_S
        begin = days[0] * DAY_S + span * seed / max(1, among - 1)
        return part_of(windows, name, begin, _PART_S, _SHARE, like, np.random.default_rng(seed))

    return draw


def _repeated(trace: Lengths, name: str, rate: int) -> Callable[[int, int], Workload]:
    return lambda seed, _: again(trace, name, rate, np.random.default_rng(seed))


def _made(name: str, levels: tuple[tuple[int, float], ...], like: Lengths) -> Callable[[int, int], Workload]:
    return lambda seed, _: steps(name, levels, like, np.random.default_rng(seed))
