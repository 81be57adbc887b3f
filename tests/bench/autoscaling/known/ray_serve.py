"""Ray Serve's default policy (autoscaling_policy.py), with the factor 1 both ways."""

import math
from dataclasses import dataclass
from typing import Final

from tests.bench.autoscaling.fleet import Fleet
from tests.bench.autoscaling.known.autoscaler import concurrency, ready

_LOOK_BACK_S: Final = 30
_PUSH_S: Final = 10


@dataclass
class RayServe:
    """`target` requests per replica that is up; its delays in seconds. Ticks every second instead of every tenth."""

    target: float = 2.0
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0
    period_s: int = 1
    _pushed: float = 0.0
    _side: int = 0
    _since: float = 0.0

    def decide(self, fleet: Fleet) -> int:
        """One tick, on what was pushed last."""
        if fleet.second % _PUSH_S == 0:
            self._pushed = concurrency(fleet, _LOOK_BACK_S)
        return self.of(self._pushed, ready(fleet), fleet.replicas, fleet.second)

    def of(self, total: float, up: int, present: int, now_s: float) -> int:
        """Replicas by the number of requests; `present` is what was ordered."""
        if up == 0:
            return max(1, present) if total > 0 else present
        wanted = math.ceil(up + (total / self.target - up) - 1e-9)
        side = (wanted > present) - (wanted < present)
        if side != self._side:
            self._side, self._since = side, now_s
        delay = self.up_delay_s if side > 0 else self.down_delay_s
        if side == 0 or now_s - self._since < delay:
            return present
        self._side = 0
        return wanted if wanted > 0 or present == 1 else 1
