"""What the runs of one workload and cold start say: hours at an attainment, violations at hours, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from tests.bench.autoscaling.simulation import Outcome

AIM: Final = 0.99
_DRAWS: Final = 1000


@dataclass(frozen=True)
class Point:
    """One setting of one autoscaler, its runs in the order of seeds."""

    setting: float
    runs: tuple[Outcome, ...]

    def violations(self, seeds: Sequence[int] | None = None) -> float:
        """Share of all requests of these seeds (of all, without any) that were not in time."""
        runs = self._of(seeds)
        return sum(run.violations for run in runs) / sum(run.requests for run in runs)

    def hours(self, seeds: Sequence[int] | None = None) -> float:
        """GPU-hours of a run, a mean."""
        runs = self._of(seeds)
        return sum(run.gpu_hours for run in runs) / len(runs)

    def changes(self, seeds: Sequence[int] | None = None) -> float:
        """Changes per day, a mean."""
        runs = self._of(seeds)
        return sum(run.changes_per_day for run in runs) / len(runs)

    def backlog_s(self, seeds: Sequence[int] | None = None) -> float:
        """Seconds until the longest backlog of a run was gone, a mean."""
        runs = self._of(seeds)
        return sum(run.backlog_s for run in runs) / len(runs)

    def _of(self, seeds: Sequence[int] | None) -> Sequence[Outcome]:
        return self.runs if seeds is None else [self.runs[seed] for seed in seeds]


@dataclass(frozen=True)
class AtAim:
    """What it takes to keep 99 % in time, between the two settings on either side of it."""

    hours: float
    changes: float
    backlog_s: float


def at_aim(points: Sequence[Point], seeds: Sequence[int] | None = None) -> AtAim | None:
    """Of the cheapest pair of neighbours that the aim lies between; None where no setting reaches it."""
    allowed = 1 - AIM
    found: list[AtAim] = []
    ordered = sorted(points, key=lambda point: point.hours(seeds))
    for point in ordered:
        if point.violations(seeds) <= allowed:
            found.append(_between(point, point, 0.0, seeds))
    for lean, lavish in pairwise(ordered):
        if lean.violations(seeds) > allowed >= lavish.violations(seeds):
            share = between(lean.violations(seeds), lavish.violations(seeds), allowed)
            found.append(_between(lean, lavish, share, seeds))
    return min(found, key=lambda at: at.hours, default=None)


def _between(lean: Point, lavish: Point, share: float, seeds: Sequence[int] | None) -> AtAim:
    figures = (Point.hours, Point.changes, Point.backlog_s)
    return AtAim(*(of(lean, seeds) + share * (of(lavish, seeds) - of(lean, seeds)) for of in figures))


def between(high: float, low: float, value: float) -> float:
    """How far a value lies from `high` (0) to `low` (1) on a scale of logarithms."""
    tiny = 1e-6
    return math.log(max(high, tiny) / max(value, tiny)) / math.log(max(high, tiny) / max(low, tiny))


def violations_at(points: Sequence[Point], hours: float) -> float:
    """Share of violations for these GPU-hours, between the settings on either side; at the ends, that of the end."""
    ordered = sorted(points, key=lambda point: point.hours())
    best = ordered[0].violations()
    for lean, lavish in pairwise(ordered):
        if lean.hours() <= hours:
            share = min(1.0, (hours - lean.hours()) / max(1e-9, lavish.hours() - lean.hours()))
            high, low = max(lean.violations(), 1e-6), max(lavish.violations(), 1e-6)
            best = min(best, high * (low / high) ** share)
    return best


def interval(ours: Sequence[Point], theirs: Sequence[Point]) -> tuple[float, float] | None:
    """95 % of the ratio of hours at the aim when seeds are drawn again, the same for both; None where one misses it."""
    count, chance = len(ours[0].runs), np.random.default_rng(0)
    ratios: list[float] = []
    for _ in range(_DRAWS):
        seeds = chance.integers(0, count, count).tolist()
        one, other = at_aim(ours, seeds), at_aim(theirs, seeds)
        if one is not None and other is not None:
            ratios.append(one.hours / other.hours)
    if len(ratios) < _DRAWS // 2:
        return None
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)
