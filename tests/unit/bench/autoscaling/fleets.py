"""Small fleets whose times can be worked out by hand."""

import numpy as np

from tests.bench.autoscaling.fleet import Fleet, Workload
from tests.bench.autoscaling.kernel import Engine

STEP_S = 0.125
"""Of which sums are exact."""

PLAIN = Engine(
    budget=100, seats=4, cache=1000, ongoing=8, step_s=STEP_S, sequence_s=0, context_s=0, prompt_s=0, attention_s=0
)
"""A step takes as long whatever is in it."""


def workload(*requests: tuple[float, int, int], seconds: int = 10) -> Workload:
    """Of (arrival, tokens read, tokens made)."""
    arrival, prompt, output = zip(*requests, strict=True)
    return Workload("by hand", np.array(arrival, float), np.array(prompt), np.array(output), seconds)


def fleet(
    *requests: tuple[float, int, int],
    engine: Engine = PLAIN,
    replicas: int = 1,
    cold_start_s: float = 5,
    seconds: int = 10,
) -> Fleet:
    """With `replicas` up at the beginning."""
    return Fleet(engine, workload(*requests, seconds=seconds), cold_start_s, replicas)
