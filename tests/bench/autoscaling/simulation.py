"""One autoscaler on one workload: what was answered in time, and what it cost."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.bench.autoscaling.fleet import MACHINES, QUEUED, UPS, WAITING, Fleet, Workload
from tests.bench.autoscaling.kernel import Engine, Floats
from tests.bench.autoscaling.known.autoscaler import Autoscaler
from tests.bench.autoscaling.known.fixed import Static, work_s

Flags = NDArray[np.bool_]

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
    """Requests over a bound, or without an answer; see is_counted for those that are left out."""
    gpu_hours: float
    """From each order to the end of its last request."""
    changes_per_day: float
    """Orders that differ from the one before."""
    backlog_s: int
    """The longest time until a backlog was gone: more requests waiting than there are replicas up."""

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
    return outcome(fleet, settled_s(cold_start_s))


def settled_s(cold_start_s: float) -> int:
    """From when on a run counts: what is ordered at its beginning is up by then, and what came before it answered."""
    return int(2 * cold_start_s + _BEGIN_S)


def _bounded(count: int) -> int:
    return max(1, min(MOST_REPLICAS, count))


def at_first(engine: Engine, workload: Workload) -> int:
    """Replicas for the first minute."""
    early = workload.arrival < _BEGIN_S
    work = float(work_s(engine, workload.prompt[early], workload.output[early]).sum()) / _BEGIN_S
    return max(1, math.ceil(work / _BEGIN_UTILISATION))


def outcome(fleet: Fleet, since_s: int) -> Outcome:
    """What a run that is over shows from this second on."""
    workload = fleet.workload
    counted = is_counted(fleet) & (workload.arrival >= since_s)
    return Outcome(
        requests=int(counted.sum()),
        violations=int((counted & ~is_in_time(fleet)).sum()),
        gpu_hours=float(fleet.rows[since_s + 1 :, MACHINES].sum()) / 3600,
        changes_per_day=fleet.changes * 86_400 / workload.seconds,
        backlog_s=_longest(fleet.rows[since_s + 1 :]),
    )


def _longest(rows: Floats) -> int:
    has_backlog = rows[:, WAITING] + rows[:, QUEUED] > rows[:, UPS]
    edges = np.flatnonzero(np.diff(has_backlog, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def is_counted(fleet: Fleet) -> Flags:
    """Of each request, whether an idle replica would give its first token within half of the bound."""
    engine, prompt = fleet.engine, fleet.workload.prompt
    alone = engine.step_s + engine.prompt_s * prompt + engine.attention_s * 0.5 * prompt.astype(np.float64) ** 2
    return np.asarray(alone <= TTFT_S / 2)


def is_in_time(fleet: Fleet) -> Flags:
    """Of each request, whether it was answered within both bounds."""
    first, finish = fleet.requests.first, fleet.requests.finish
    per_token = (finish - first) / np.maximum(1, fleet.workload.output - 1)
    return np.asarray((first - fleet.workload.arrival <= TTFT_S) & (per_token <= TPOT_S))
