"""`make bench-autoscaling-reality`: one burst on the real cluster, and the same burst in the benchmark's model.

The same rule decides in both, between one and two replicas of the small model. The model's step is fitted to a service
of one replica (alone and with eight at once) that goes before the burst, since the rule would learn from it; its cold
start is the one that the burst met. Nothing else is fitted. One JSON line last, both curves in
build/bench/autoscaling-reality.json; `make bench-autoscaling-plot` draws it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any, Final

import aiohttp
import numpy as np

from hack import install
from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps
from tests.bench.autoscaling.fleet import MACHINES, QUEUED, RUNNING, UPS, WAITING, Fleet, Workload
from tests.bench.autoscaling.kernel import Engine
from tests.bench.autoscaling.ours import Ours
from tests.bench.load import TOKENS, Target, run_cell, stream
from tests.e2e.faults import is_ready
from tests.e2e.site import Site, deployed, llmservice, wait_ready

RESULT: Final = REPOSITORY / "build" / "bench" / "autoscaling-reality.json"

Json = dict[str, Any]

_ROOM: Final = "reality"
_NAME: Final = "burst"
_MOST: Final = 2
_DEPTH: Final = 16
_DOWN_DELAY_S: Final = 30
_CALM_S: Final = 90
_BURST_S: Final = 180
_AFTER_S: Final = 1100
_LOOK_S: Final = 2.0
_EIGHT: Final = 8
_CALM_LOAD: Final = 0.05
_BURST_LOAD: Final = 1.8
"""Of what one replica with eight at once answers."""


@dataclass
class Curve:
    """Every second: requests that are not answered, replicas that are up, and machines (those that start too)."""

    outstanding: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)
    machines: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Fitted:
    """Seconds per token alone, and more per further request in the batch; requests/s with eight at once."""

    step_s: float
    sequence_s: float
    requests_per_s: float

    @property
    def engine(self) -> Engine:
        """The prompt is always the same, so that the cache has all but its last tokens."""
        return Engine(2048, 128, 1 << 20, 256, self.step_s, self.sequence_s, 0.0, 0.0, 0.0)


def arrivals(calm: float, burst: float, chance: np.random.Generator) -> list[float]:
    """Poisson: calm, burst, calm, in requests/s; seconds from the beginning."""
    found: list[float] = []
    begin = 0
    for seconds, rate in ((_CALM_S, calm), (_BURST_S, burst), (_AFTER_S, calm)):
        found += sorted((begin + chance.uniform(0, seconds, chance.poisson(rate * seconds))).tolist())
        begin += seconds
    return found


def simulated(fitted: Fitted, times: Sequence[float], cold_start_s: float) -> Curve:
    """The burst in the benchmark's model, by the very rule."""
    count = len(times)
    seconds = _CALM_S + _BURST_S + _AFTER_S
    tokens = np.full(count, TOKENS, np.int64)
    workload = Workload(_NAME, np.array(times), np.ones(count, np.int64), tokens, seconds)
    fleet, rule = Fleet(fitted.engine, workload, cold_start_s, 1), Ours(_DEPTH, _DOWN_DELAY_S, _MOST)
    while fleet.second < seconds:
        if fleet.second:
            fleet.scale(max(1, rule.decide(fleet)))
        fleet.advance(rule.period_s)
    rows = fleet.rows[1:]
    outstanding = rows[:, RUNNING] + rows[:, WAITING] + rows[:, QUEUED]
    return Curve(outstanding.tolist(), rows[:, UPS].tolist(), rows[:, MACHINES].tolist())


async def fit(target: Target) -> Fitted:
    """From one replica, alone and with eight at once; what comes first is warm-up."""
    await run_cell(target, _EIGHT, _EIGHT)
    alone, eight = await run_cell(target, 1, 6), await run_cell(target, _EIGHT, 4 * _EIGHT)
    assert not alone.errors + eight.errors, alone.errors + eight.errors
    sequence_s = max(0.0, (eight.per_token_p50 - alone.per_token_p50) / (_EIGHT - 1))
    return Fitted(alone.per_token_p50 - sequence_s, sequence_s, len(eight.streams) / eight.wall)


@dataclass
class Burst:
    """A burst that runs on the cluster."""

    site: Site
    target: Target
    curve: Curve = field(default_factory=Curve)
    errors: list[str] = field(default_factory=list)
    outstanding: int = 0
    pods: list[Json] = field(default_factory=list)

    async def run(self, times: Sequence[float]) -> None:
        """Ask at these times, look every second, and wait for what is left."""
        begun = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=600)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as group,
        ):
            looking = group.create_task(self._look(begun))
            group.create_task(self._watch(looking))
            for at in times:
                await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
                group.create_task(self._ask(session))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        self.outstanding += 1
        answer = await stream(session, self.target)
        self.outstanding -= 1
        if answer.error or answer.tokens != TOKENS:
            self.errors.append(answer.error or f"{answer.tokens} tokens")

    async def _look(self, begun: float) -> None:
        for second in range(1, _CALM_S + _BURST_S + _AFTER_S + 1):
            await asyncio.sleep(max(0.0, begun + second - time.monotonic()))
            self.curve.outstanding.append(self.outstanding)
            self.curve.up.append(sum(map(is_ready, self.pods)))
            self.curve.machines.append(len(self.pods))

    async def _watch(self, looking: asyncio.Task[None]) -> None:
        while not looking.done():
            self.pods = await asyncio.to_thread(_workers, self.site)
            await asyncio.wait({looking}, timeout=_LOOK_S)


def _workers(site: Site) -> list[Json]:
    """Those that are not about to go."""
    selector = f"llmservice.io/service={_NAME},ray.io/node-type=worker"
    listed = site.api.kubectl("get", "pods", "--namespace", _ROOM, "-l", selector, "-o", "json")
    return [pod for pod in json.loads(listed)["items"] if "deletionTimestamp" not in pod["metadata"]]


def cold_start_s(curve: Curve) -> float:
    """Seconds with a second machine, until the second replica was up; raises ValueError where none came."""
    ordered = next((second for second, count in enumerate(curve.machines) if count == _MOST), None)
    up = next((second for second, count in enumerate(curve.up) if count == _MOST), None)
    if ordered is None or up is None:
        raise ValueError(f"no second replica came: {max(curve.machines):.0f} machines, {max(curve.up):.0f} up at most")
    return float(up - ordered)


def compared(real: Curve, model: Curve) -> Json:
    """How far the two are apart."""
    return {
        "outstanding_mean": [mean(real.outstanding), mean(model.outstanding)],
        "outstanding_most": [max(real.outstanding), max(model.outstanding)],
        "second_machine_at_s": [_first(real.machines), _first(model.machines)],
        "second_machine_for_s": [real.machines.count(_MOST), model.machines.count(_MOST)],
        "machine_hours_over_model": sum(real.machines) / sum(model.machines),
    }


def _first(machines: Sequence[float]) -> int | None:
    return next((second for second, count in enumerate(machines) if count == _MOST), None)


@contextmanager
def _serving(site: Site, name: str, **spec: Any) -> Iterator[Target]:
    """A service while the body runs."""
    pool = install.cpu_pool(site.images.worker)
    pool["metadata"]["name"] = _ROOM
    # Two replicas must not share a core, which would be no part of the model.
    pool["spec"]["worker"]["threads"] = 1
    site.apply(_ROOM, pool, llmservice(name, placement={"pools": [_ROOM]}, **spec))
    wait_ready(site, _ROOM, name)
    try:
        yield Target(name, f"{site.base_url}/v1", name, site.keys[_ROOM])
    finally:
        site.api.kubectl("delete", "llm", name, "--namespace", _ROOM, "--cascade=foreground", "--timeout=120s")


def main() -> int:
    """Run; 1 where a request of the burst was not answered in full."""
    steps = Steps()
    with deployed(_ROOM) as site:
        with _serving(site, "alone", replicas=1) as target, steps.step("fit the model to one replica"):
            fitted = asyncio.run(fit(target))
        busy = fitted.requests_per_s
        times = arrivals(_CALM_LOAD * busy, _BURST_LOAD * busy, np.random.default_rng(0))
        scaling = {"minReplicas": 1, "maxReplicas": _MOST, "targetQueueDepth": _DEPTH, "downDelay": f"{_DOWN_DELAY_S}s"}
        with _serving(site, _NAME, scaling=scaling) as target:
            burst = Burst(site, target)
            with steps.step(f"{len(times)} requests within {_CALM_S + _BURST_S + _AFTER_S} s"):
                asyncio.run(burst.run(times))
    cold = cold_start_s(burst.curve)
    model = simulated(fitted, times, cold)
    found = {**compared(burst.curve, model), "cold_start_s": cold, "fitted": asdict(fitted), "errors": burst.errors}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**found, "real": asdict(burst.curve), "model": asdict(model)}))
    print(json.dumps(found))
    return 1 if burst.errors else 0


if __name__ == "__main__":
    sys.exit(main())
