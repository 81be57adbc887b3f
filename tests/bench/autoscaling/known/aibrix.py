"""AIBrix' APA (apa.go)."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tests.bench.autoscaling.fleet import Fleet
from tests.bench.autoscaling.known.autoscaler import concurrency, ready

_TICK_S: Final = 10
_WINDOW_S: Final = 180
_FLUCTUATION: Final = 0.1
_MOST_FACTOR: Final = 2.0
_DOWN_COOLDOWN_S: Final = 300


def of_mean(mean: float, target: float, replicas: int) -> int:
    """Replicas by the mean of a pod, within a factor of two and a tolerance of 10 %."""
    ratio = mean / target
    if ratio > 1 + _FLUCTUATION:
        return min(math.ceil(replicas * ratio), math.ceil(replicas * _MOST_FACTOR))
    if ratio < 1 - _FLUCTUATION:
        return max(math.ceil(replicas * ratio), math.floor(replicas / _MOST_FACTOR))
    return replicas


@dataclass
class Apa:
    """`target` requests per pod; down to the most that was wanted in the last 300 s."""

    target: float
    period_s: int = _TICK_S
    _wanted: deque[int] = field(default_factory=lambda: deque(maxlen=_DOWN_COOLDOWN_S // _TICK_S))

    def decide(self, fleet: Fleet) -> int:
        """One tick."""
        up = max(1, ready(fleet))
        wanted = of_mean(concurrency(fleet, _WINDOW_S) / up, self.target, up)
        self._wanted.append(wanted)
        return wanted if wanted > fleet.replicas else min(fleet.replicas, max(self._wanted))
