"""The two ends: a count that never changes, and one that knows what will come."""

import math
from dataclasses import dataclass

import numpy as np

from tests.bench.autoscaling.fleet import Fleet
from tests.bench.autoscaling.kernel import Engine, Floats, Ints


@dataclass
class Static:
    """Always `count`."""

    count: int
    period_s: int = 60

    def decide(self, fleet: Fleet) -> int:  # noqa: ARG002
        """The count."""
        return self.count


@dataclass
class Oracle:
    """Follows a plan of what the future needs: a replica is up when its time comes, and stays where
    a restart would cost as much."""

    plan: Ints
    """Replicas for each window."""
    window_s: int
    cold_start_s: float
    period_s: int = 5

    def decide(self, fleet: Fleet) -> int:
        """The most that is planned from now until a replica ordered now could be up."""
        begin = fleet.second // self.window_s
        end = math.ceil((fleet.second + self.cold_start_s + self.period_s) / self.window_s)
        return int(self.plan[begin:end].max(initial=1))


def work_s(engine: Engine, prompt: Ints, output: Ints) -> Floats:
    """Seconds of an engine that each request adds, beside the fixed part of steps that all share."""
    read = engine.prompt_s * prompt + engine.attention_s * 0.5 * prompt.astype(np.float64) ** 2
    made = output * (engine.sequence_s + engine.context_s * (prompt + 0.5 * output))
    return np.asarray(read + made, dtype=np.float64)
