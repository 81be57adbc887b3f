"""The two ends: a count that never changes, and one that knows what will come."""

import math
from dataclasses import dataclass

import numpy as np

from tests.bench.autoscaling.fleet import Fleet, Workload
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
    """Orders by what the future needs: a replica is up when its work comes, and stays where a restart costs as much.

    `utilisation`: work in seconds per second that a replica is given, in each `bucket_s`.
    """

    need: Ints
    """Replicas that each bucket needs."""
    bucket_s: int
    cold_start_s: float
    period_s: int = 5

    @classmethod
    def of(
        cls, engine: Engine, workload: Workload, utilisation: float, cold_start_s: float, bucket_s: int = 10
    ) -> "Oracle":
        """For one workload."""
        edges = np.arange(0, workload.seconds + bucket_s, bucket_s)
        sums, _ = np.histogram(workload.arrival, edges, weights=work_s(engine, workload.prompt, workload.output))
        return cls(np.ceil(sums / bucket_s / utilisation).astype(np.int64), bucket_s, cold_start_s)

    def decide(self, fleet: Fleet) -> int:
        """The most that is needed from now until a replica ordered now could be up."""
        begin = fleet.second // self.bucket_s
        end = math.ceil((fleet.second + self.cold_start_s + self.period_s) / self.bucket_s)
        return int(self.need[begin:end].max(initial=1))


def work_s(engine: Engine, prompt: Ints, output: Ints) -> Floats:
    """Seconds of an engine that each request adds, beside the fixed part of steps that all share."""
    read = engine.prompt_s * prompt + engine.attention_s * 0.5 * prompt.astype(np.float64) ** 2
    made = output * (engine.sequence_s + engine.context_s * (prompt + 0.5 * output))
    return np.asarray(read + made, dtype=np.float64)
