"""Ray Serve's default policy (autoscaling_policy.py), with the factor 1 both ways."""

import math
from dataclasses import dataclass, field
from typing import Final

from tests.bench.autoscaling.fleet import Fleet
from tests.bench.autoscaling.known.autoscaler import concurrency, ready

_LOOK_BACK_S: Final = 30
_PUSH_S: Final = 10


@dataclass
class Delays:
    """What Ray Serve makes of any policy's answers: one is taken once all since a time were on the same side."""

    _side: int = 0
    _since: float = 0.0

    def applied(self, wanted: int, present: int, now_s: float, up_delay_s: float, down_delay_s: float) -> int:
        """The count to order; the last replica goes from one to none only."""
        side = (wanted > present) - (wanted < present)
        if side != self._side:
            self._side, self._since = side, now_s
        if side == 0 or now_s - self._since < (up_delay_s if side > 0 else down_delay_s):
            return present
        self._side = 0
        return wanted if wanted > 0 or present == 1 else 1


@dataclass
class RayServe:
    """`target` requests per replica that is up; its delays in seconds.

    It ticks every 5 s instead of every tenth of one, since what it sees changes every 10 s.
    """

    target: float = 2.0
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0
    period_s: int = 5
    _pushed: float = 0.0
    _delays: Delays = field(default_factory=Delays)

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
        return self._delays.applied(wanted, present, now_s, self.up_delay_s, self.down_delay_s)
