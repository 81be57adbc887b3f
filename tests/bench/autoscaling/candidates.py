"""Who is compared, each with its settings from lean to lavish; the benchmark looks for the one that just suffices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.bench.autoscaling.fleet import Workload
from tests.bench.autoscaling.hindsight import Hindsight, hindsight
from tests.bench.autoscaling.kernel import Engine
from tests.bench.autoscaling.known.aibrix import Apa
from tests.bench.autoscaling.known.autoscaler import Autoscaler
from tests.bench.autoscaling.known.dynamo import Planner
from tests.bench.autoscaling.known.fixed import Static
from tests.bench.autoscaling.known.knative import Kpa
from tests.bench.autoscaling.known.kubernetes import HpaOnRunning, KedaOnWaiting
from tests.bench.autoscaling.known.llm_d import Wva
from tests.bench.autoscaling.known.ray_serve import RayServe
from tests.bench.autoscaling.ours import Ours

OURS: Final = "ours"
ORACLE: Final = "oracle"
STATIC: Final = "static"

Make = Callable[[int, float, float], Autoscaler]
"""(number of the workload, cold start in seconds, setting); only the oracle heeds the workload."""


@dataclass(frozen=True)
class Candidate:
    """One autoscaler under the name that figures bear."""

    make: Make
    settings: tuple[float, ...]
    unit: str


_PER_REPLICA: Final = (
    128.0,
    96.0,
    76.0,
    60.0,
    48.0,
    40.0,
    33.0,
    28.0,
    23.0,
    19.0,
    16.0,
    13.0,
    11.0,
    9.0,
    7.5,
    6.0,
    5.0,
)
_FEW: Final = (4.0, 3.2, 2.5, 2.0, 1.6, 1.2, 0.8)
_COUNTS: Final = (
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    7.0,
    8.0,
    9.0,
    10.0,
    11.0,
    12.0,
    13.0,
    14.0,
    16.0,
    18.0,
    20.0,
    22.0,
    25.0,
    28.0,
)
_MANY: Final = (31.0, 35.0, 39.0, 44.0, 50.0, 58.0, 68.0, 80.0, 96.0)
_WAITING: Final = (30.0, 10.0, 5.0, 3.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.02)
_RPS: Final = (12.0, 9.0, 7.0, 6.0, 5.0, 4.4, 3.8, 3.4, 3.0, 2.7, 2.4, 2.1, 1.8, 1.5, 1.2, 1.0, 0.8, 0.6, 0.4)
_SCALES: Final = (1.0, 0.5, 0.25, 0.16, 0.11, 0.08, 0.06, 0.045, 0.035, 0.025, 0.015)
_PRICES: Final = tuple(0.0002 * 1.5**power for power in range(20))

KNOWN: Final = {
    STATIC: Candidate(lambda _n, _c, count: Static(int(count)), _COUNTS + _MANY, "replicas"),
    "hpa": Candidate(lambda _n, _c, target: HpaOnRunning(target), _PER_REPLICA + _FEW, "running per replica"),
    "keda": Candidate(lambda _n, _c, target: KedaOnWaiting(target), _WAITING, "waiting per replica"),
    "kpa": Candidate(lambda _n, _c, target: Kpa(target), _PER_REPLICA + _FEW, "requests per replica"),
    "ray-serve": Candidate(lambda _n, _c, target: RayServe(target), _PER_REPLICA + _FEW, "requests per replica"),
    "ray-serve-quick": Candidate(
        lambda _n, _c, target: RayServe(target, 0.0, 120.0), _PER_REPLICA + _FEW, "requests per replica"
    ),
    "aibrix-apa": Candidate(lambda _n, _c, target: Apa(target), _PER_REPLICA + _FEW, "requests per replica"),
    "llm-d-wva": Candidate(lambda _n, _c, scale: Wva(scale), _SCALES, "of the default thresholds"),
    "dynamo": Candidate(lambda _n, _c, rps: Planner(rps), _RPS, "requests/s per replica"),
}

SHIPPED: Final = Candidate(lambda _n, _c, target: Ours(target), _PER_REPLICA + _FEW, "requests per replica")


def clairvoyant(engine: Engine, workloads: Sequence[Workload]) -> Candidate:
    """The oracle of these workloads; it looks ahead when it is first run."""

    @cache
    def known(number: int) -> Hindsight:
        return hindsight(engine, workloads[number])

    return Candidate(lambda number, cold, price: known(number).oracle(price, cold), _PRICES, "GPU-hours per request")
