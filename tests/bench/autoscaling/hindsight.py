"""What an oracle knows: how many requests each window would miss with each count of replicas, and what plan follows.

Windows are judged each for itself, by runs with a fixed count. A plan takes in each window the count whose GPU-hours
and missed requests, at a price for each, cost least; so no other division of the same hours among them misses fewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.bench.autoscaling.fleet import Fleet, Workload
from tests.bench.autoscaling.kernel import Engine, Ints
from tests.bench.autoscaling.known.fixed import Oracle
from tests.bench.autoscaling.simulation import is_counted, is_in_time

WINDOW_S: Final = 300
COUNTS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 23, 26, 30, 35, 40, 48, 58, 72, 96)
_HARDLY: Final = 0.001
_DRAIN_S: Final = 600


@dataclass(frozen=True)
class Hindsight:
    """Of one workload: missed requests by [count, window]."""

    counts: Ints
    missed: Ints

    def oracle(self, price: float, cold_start_s: float) -> Oracle:
        """`price`: GPU-hours that one request in time is worth."""
        cost = self.counts[:, None] * WINDOW_S / 3600 + price * self.missed
        return Oracle(self.counts[cost.argmin(axis=0)], WINDOW_S, cold_start_s)


def hindsight(engine: Engine, workload: Workload, counts: Sequence[int] = COUNTS) -> Hindsight:
    """A run for each count, up to one that misses hardly any."""
    rows: list[Ints] = []
    for count in counts:
        rows.append(_missed(engine, workload, count))
        if rows[-1].sum() <= _HARDLY * len(workload.arrival):
            break
    return Hindsight(np.array(counts[: len(rows)]), np.array(rows))


def _missed(engine: Engine, workload: Workload, count: int) -> Ints:
    fleet = Fleet(engine, workload, 0.0, count)
    fleet.advance(workload.seconds)
    fleet.drain(_DRAIN_S)
    missed = is_counted(fleet) & ~is_in_time(fleet)
    windows = np.minimum(workload.arrival // WINDOW_S, (workload.seconds - 1) // WINDOW_S).astype(np.int64)
    return np.bincount(windows[missed], minlength=-(-workload.seconds // WINDOW_S))
