"""llm-d's workload variant autoscaler, its saturation analyser."""

from dataclasses import dataclass
from typing import Final

from tests.bench.autoscaling.fleet import Fleet
from tests.bench.autoscaling.known.autoscaler import starting

_TICK_S: Final = 60
_KV: Final = 0.80
_QUEUE: Final = 5.0
_SPARE_KV: Final = 0.10
_SPARE_QUEUE: Final = 3.0


@dataclass
class Wva:
    """`scale`: by how much all four thresholds (KV 0.80, queue 5, spare KV 0.10, spare queue 3) are multiplied."""

    scale: float = 1.0
    period_s: int = _TICK_S

    def decide(self, fleet: Fleet) -> int:
        """One tick; nothing as long as a change is under way."""
        if starting(fleet):
            return fleet.replicas
        return fleet.replicas + self.change(fleet.loads())

    def change(self, loads: list[tuple[float, int]]) -> int:
        """-1, 0 or 1 by (share of the cache in use, requests that wait) of each replica."""
        kv_most, queue_most = _KV * self.scale, _QUEUE * self.scale
        calm = [(kv, queue) for kv, queue in loads if kv < kv_most and queue < queue_most]
        if not calm:
            return 1
        kv, queue = (sum(column) / len(calm) for column in zip(*calm, strict=True))
        if self._is_tight(kv, queue):
            return 1
        share = len(calm) / (len(calm) - 1) if len(calm) > 1 else 0.0
        return -1 if share and not self._is_tight(kv * share, queue * share) else 0

    def _is_tight(self, kv: float, queue: float) -> bool:
        return (_KV * self.scale - kv) < _SPARE_KV * self.scale or (
            _QUEUE * self.scale - queue
        ) < _SPARE_QUEUE * self.scale
