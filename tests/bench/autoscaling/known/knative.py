"""Knative's KPA (autoscaler.go, config-autoscaler)."""

import math
from dataclasses import dataclass
from typing import Final

from tests.bench.autoscaling.fleet import Fleet
from tests.bench.autoscaling.known.autoscaler import concurrency, ready

_TICK_S: Final = 2
_STABLE_S: Final = 60
_PANIC_S: Final = 6
_PANIC_THRESHOLD: Final = 2.0
_MOST_UP: Final = 1000.0
_MOST_DOWN: Final = 2.0


@dataclass
class Kpa:
    """`target`: requests per replica after the 70 % that Knative takes of the concurrency it is given."""

    target: float
    period_s: int = _TICK_S
    _panic_since: int | None = None
    _panic_most: int = 0

    def decide(self, fleet: Fleet) -> int:
        """One tick."""
        stable, panic = concurrency(fleet, _STABLE_S), concurrency(fleet, _PANIC_S)
        return self.of(stable, panic, max(1, ready(fleet)), fleet.second)

    def of(self, stable: float, panic: float, ready: int, now_s: int) -> int:
        """Replicas by the concurrency of the stable and the panic window."""
        least, most = math.floor(ready / _MOST_DOWN), math.ceil(ready * _MOST_UP)
        wanted = min(max(math.ceil(stable / self.target), least), most)
        in_panic = min(max(math.ceil(panic / self.target), least), most)
        is_over = math.ceil(panic / self.target) / ready >= _PANIC_THRESHOLD
        if is_over:
            self._panic_since = now_s
        elif self._panic_since is not None and now_s - self._panic_since >= _STABLE_S:
            self._panic_since, self._panic_most = None, 0
        if self._panic_since is None:
            return wanted
        self._panic_most = max(self._panic_most, wanted, in_panic)
        return self._panic_most
