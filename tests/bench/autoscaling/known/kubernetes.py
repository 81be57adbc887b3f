"""HorizontalPodAutoscaler v2 (replica_calculator.go, defaults of autoscaling/v2), on pods' and external metrics."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tests.bench.autoscaling.fleet import QUEUED, RUNNING, WAITING, Fleet
from tests.bench.autoscaling.known.autoscaler import ready, starting

_TOLERANCE: Final = 0.1
_SYNC_S: Final = 15
_STABILISATION_S: Final = 300
_MOST_PODS: Final = 4


def of_pods(mean: float, target: float, ready: int, pending: int) -> int:
    """Replicas by a mean over the pods that are ready; pods that start count as idle, where more are wanted."""
    if ready == 0:
        return pending
    ratio = mean / target
    if abs(1 - ratio) <= _TOLERANCE:
        return ready + pending
    if ratio < 1 or pending == 0:
        return math.ceil(ratio * ready)
    diluted = mean * ready / (target * (ready + pending))
    if abs(1 - diluted) <= _TOLERANCE or diluted < 1:
        return ready + pending
    return math.ceil(diluted * (ready + pending))


def of_external(total: float, target: float, replicas: int) -> int:
    """Replicas by a sum that each is to have `target` of."""
    if replicas > 0 and abs(1 - total / (target * replicas)) <= _TOLERANCE:
        return replicas
    return math.ceil(total / target)


@dataclass
class Behaviour:
    """The default limits on steps: up by 4 pods or 100 % per 15 s; down to the most that was wanted in 300 s."""

    _wanted: deque[int] = field(default_factory=lambda: deque(maxlen=_STABILISATION_S // _SYNC_S))

    def limited(self, wanted: int, replicas: int) -> int:
        """What is ordered of what is wanted, called once per sync."""
        self._wanted.append(wanted)
        if wanted > replicas:
            return min(wanted, max(replicas + _MOST_PODS, 2 * replicas))
        return min(replicas, max(self._wanted))


@dataclass
class HpaOnRunning:
    """A Pods metric: requests that run, `target` per pod."""

    target: float
    period_s: int = _SYNC_S
    _behaviour: Behaviour = field(default_factory=Behaviour)

    def decide(self, fleet: Fleet) -> int:
        """One sync."""
        mean = fleet.mean(RUNNING, _SYNC_S) / max(1, ready(fleet))
        return self._behaviour.limited(of_pods(mean, self.target, ready(fleet), starting(fleet)), fleet.replicas)


@dataclass
class KedaOnWaiting:
    """An External metric with AverageValue, KEDA's way: requests that wait, `target` per replica."""

    target: float
    period_s: int = _SYNC_S
    _behaviour: Behaviour = field(default_factory=Behaviour)

    def decide(self, fleet: Fleet) -> int:
        """One sync; KEDA answers it with what it sees at that time."""
        total = fleet.now(WAITING) + fleet.now(QUEUED)
        return self._behaviour.limited(of_external(total, self.target, fleet.replicas), fleet.replicas)
