"""A planner like Dynamo's: a forecast every 180 s as a floor under a loop on load every 5 s."""

import math
from dataclasses import dataclass
from typing import Final

from tests.bench.autoscaling.fleet import ARRIVED, QUEUED, UPS, Fleet
from tests.bench.autoscaling.known.autoscaler import ready, starting

_FORECAST_S: Final = 180
_TICK_S: Final = 5
_OVER: Final = 1.0
_UNDER: Final = 0.6


@dataclass
class Planner:
    """`replica_rps`: what a replica answers within TTFT 500 ms and ITL 50 ms, as its profiler finds it.

    The forecast is its `constant` predictor: the next interval brings what the last one did. Requests have the same
    lengths all along, so requests stand for tokens.
    """

    replica_rps: float
    period_s: int = _TICK_S
    _floor: int = 1

    def decide(self, fleet: Fleet) -> int:
        """One tick of the loop on load, and every 180 s a forecast."""
        if fleet.second % _FORECAST_S == 0:
            self._floor = math.ceil(fleet.grown(ARRIVED, _FORECAST_S) / self.replica_rps)
        queued = fleet.now(QUEUED) / max(1.0, fleet.now(UPS))
        shares = [kv + (queue + queued) / fleet.engine.seats for kv, queue in fleet.loads()]
        return max(self._floor, self.by_load(shares, ready(fleet), starting(fleet)))

    @staticmethod
    def by_load(shares: list[float], up: int, starting: int) -> int:
        """One more where the engines are over their caches, one less where they are under 60 %; none as one starts."""
        if starting or not shares:
            return up + starting
        mean = sum(shares) / len(shares)
        return up + (mean > _OVER) - (mean < _UNDER)
