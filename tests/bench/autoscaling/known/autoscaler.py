"""What the benchmark asks of an autoscaler."""

from typing import Protocol

from tests.bench.autoscaling.fleet import QUEUED, RUNNING, STARTING, UPS, WAITING, Fleet


class Autoscaler(Protocol):
    """Called every `period_s`; keeps what it needs between calls."""

    period_s: int

    def decide(self, fleet: Fleet) -> int:
        """How many replicas to order; the caller holds it within bounds."""


def concurrency(fleet: Fleet, seconds: int) -> float:
    """Requests that run or wait anywhere, a mean over the last `seconds`."""
    return fleet.mean(RUNNING, seconds) + fleet.mean(WAITING, seconds) + fleet.mean(QUEUED, seconds)


def ready(fleet: Fleet) -> int:
    """Replicas that are up."""
    return int(fleet.now(UPS))


def starting(fleet: Fleet) -> int:
    """Replicas that were ordered and are not up."""
    return int(fleet.now(STARTING))
