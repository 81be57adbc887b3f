"""The rule that the worker ships, called as Ray Serve calls it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmservice_worker.autoscaling import TAKEN, queue_depth
from tests.bench.autoscaling.fleet import ARRIVED, QUEUED, Fleet
from tests.bench.autoscaling.known.autoscaler import concurrency, ready
from tests.bench.autoscaling.known.ray_serve import Delays
from tests.bench.autoscaling.simulation import MOST_REPLICAS

DOWN_DELAY_S: Final = 120.0
"""The default of spec.scaling.downDelay; upDelay's is none."""
LOOK_BACK_S: Final = 2
"""As llmservice_worker.application has it."""


@dataclass(frozen=True)
class Point:
    """One report of a replica."""

    timestamp: float
    value: float


@dataclass(frozen=True)
class Config:
    """What the rule reads of Ray Serve's AutoscalingConfig."""

    target_ongoing_requests: float
    downscale_delay_s: float


@dataclass
class Context:
    """A fleet as Ray Serve's AutoscalingContext."""

    config: Config
    current_num_replicas: int
    target_num_replicas: int
    total_num_requests: float
    total_queued_requests: float | None
    raw_metrics: Mapping[str, Mapping[Any, Any]]
    current_time: float | None
    policy_state: dict[str, Any]
    capacity_adjusted_min_replicas: int = 1
    capacity_adjusted_max_replicas: int = MOST_REPLICAS


@dataclass
class Ours:
    """`target`: spec.scaling.targetQueueDepth. Looked at every 2 s; what it reads are means over 2 s anyway."""

    target: float
    down_delay_s: float = DOWN_DELAY_S
    most: int = MOST_REPLICAS
    period_s: int = LOOK_BACK_S
    _delays: Delays = field(default_factory=Delays)
    _state: dict[str, Any] = field(default_factory=dict)

    def decide(self, fleet: Fleet) -> int:
        """One look. One replica reports what all took, since only the sum is read."""
        up, taken = ready(fleet), fleet.now(ARRIVED) - fleet.now(QUEUED)
        reports = {replica: [Point(fleet.second, 0.0 if replica else taken)] for replica in range(up)}
        context = Context(
            Config(self.target, self.down_delay_s),
            up,
            fleet.replicas,
            concurrency(fleet, LOOK_BACK_S),
            fleet.mean(QUEUED, LOOK_BACK_S),
            {TAKEN: reports},
            fleet.second,
            self._state,
            capacity_adjusted_max_replicas=self.most,
        )
        wanted, self._state = queue_depth(context)
        return self._delays.applied(wanted, fleet.replicas, fleet.second, 0.0, self.down_delay_s)
