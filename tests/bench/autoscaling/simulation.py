"""One autoscaler on one workload: what was answered in time, and what it cost."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.bench.autoscaling.fleet import MACHINES, Fleet, Workload
from tests.bench.autoscaling.kernel import Engine
from tests.bench.autoscaling.known.autoscaler import Autoscaler
from tests.bench.autoscaling.known.fixed import Static, work_s

TTFT_S: Final = 2.0
TPOT_S: Final = 0.05
MOST_REPLICAS: Final = 96
_DRAIN_S: Final = 600
_BEGIN_S: Final = 60
_BEGIN_UTILISATION: Final = 0.4


@dataclass(frozen=True)
class Outcome:
    """Of one run."""

    requests: int
    violations: int
    """Requests over a bound, or without an answer; those that an idle replica could not answer in time are left out."""
    gpu_hours: float
    """From each order to the end of its last request."""
    changes_per_day: float
    """Orders that differ from the one before."""

    @property
    def attainment(self) -> float:
        """Share of requests within both bounds."""
        return 1 - self.violations / self.requests


def simulate(engine: Engine, workload: Workload, cold_start_s: float, autoscaler: Autoscaler) -> Outcome:
    """Begins with what the first minute needs, the same for every autoscaler but the one that never changes."""
    begin = autoscaler.count if isinstance(autoscaler, Static) else at_first(engine, workload)
    fleet = Fleet(engine, workload, cold_start_s, _bounded(begin))
    while fleet.second < workload.seconds:
        if fleet.second:
            fleet.scale(_bounded(autoscaler.decide(fleet)))
        fleet.advance(autoscaler.period_s)
    fleet.drain(_DRAIN_S)
    return outcome(engine, workload, fleet)


def _bounded(count: int) -> int:
    return max(1, min(MOST_REPLICAS, count))


def at_first(engine: Engine, workload: Workload) -> int:
    """Replicas for the first minute."""
    early = workload.arrival < _BEGIN_S
    work = float(work_s(engine, workload.prompt[early], workload.output[early]).sum()) / _BEGIN_S
    return max(1, math.ceil(work / _BEGIN_UTILISATION))


def outcome(engine: Engine, workload: Workload, fleet: Fleet) -> Outcome:
    """What a run that is over shows."""
    alone = engine.prompt_s * workload.prompt + engine.attention_s * 0.5 * workload.prompt.astype(np.float64) ** 2
    counted = alone <= TTFT_S
    first, finish = fleet.requests.first, fleet.requests.finish
    per_token = (finish - first) / np.maximum(1, workload.output - 1)
    in_time = (first - workload.arrival <= TTFT_S) & (per_token <= TPOT_S)
    return Outcome(
        requests=int(counted.sum()),
        violations=int((counted & ~in_time).sum()),
        gpu_hours=float(fleet.rows[1:, MACHINES].sum()) / 3600,
        changes_per_day=fleet.changes * 86_400 / workload.seconds,
    )
