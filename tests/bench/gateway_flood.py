"""`make bench-flood`: one key's p99 while another key floods, over its p99 alone. A part of bench-gateway, too.

The victim asks at a steady rate. Each flood is bounded: a rate, or so many connections that ask again at once.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from hack.cluster.failure import ClusterError
from hack.cluster.ports import Ports
from hack.cluster.progress import Steps
from tests.bench import gateway_build as build
from tests.bench import gateway_targets as targets
from tests.bench.gateway_asking import Ask, Load, Run
from tests.bench.gateway_ours import FLOODER
from tests.bench.gateway_target import Target
from tests.unit.gateway.builders import secret_key

Json = dict[str, Any]

VICTIM: Final = Ask(rate=200, at_once=16, seconds=3, warm=0.5)
_WHOLE: Final = VICTIM.warm + VICTIM.seconds


@dataclass(frozen=True)
class Flood:
    """Who floods, and with what."""

    key: str
    ask: Ask


_SMALL: Final = Ask(rate=2000, at_once=64, seconds=_WHOLE, warm=0, niceness=19)
FLOODS: Final[Mapping[str, Flood]] = {
    "over_limits": Flood(secret_key(FLOODER), _SMALL),
    "large_bodies": Flood(secret_key(1), replace(_SMALL, rate=0, body=8 * 1024 * 1024, at_once=4)),
    "wrong_keys": Flood(secret_key(0, "t" * 43), _SMALL),
}


@dataclass(frozen=True)
class Round:
    """The victim alone and in the flood, and the flood itself."""

    alone: Run
    flooded: Run
    flood: Run

    @property
    def ratio(self) -> float:
        """Of the victim's p99."""
        return self.flooded.p99_us / self.alone.p99_us


def figures(rounds: Mapping[str, Sequence[Round]]) -> Json:
    """Medians of the rounds by flood, and the worst of them; `flood_errors` are requests of the victim.

    `unsent`, alone or flooded, waited for a connection to the end: on a machine that has too much else to do.
    """
    each = {name: _figures(of_flood) for name, of_flood in rounds.items()}
    return {
        "flood_p99_ratio": max(found["p99_ratio"] for found in each.values()),
        "flood_errors": sum(found["errors"] for found in each.values()),
        "floods": each,
    }


def _figures(rounds: Sequence[Round]) -> Json:
    return {
        "p99_ratio": round(median(each.ratio for each in rounds), 2),
        "alone_p99_us": round(median(each.alone.p99_us for each in rounds)),
        "p99_us": round(median(each.flooded.p99_us for each in rounds)),
        "p50_us": round(median(each.flooded.p50_us for each in rounds)),
        "errors": sum(run.errors for each in rounds for run in (each.alone, each.flooded)),
        "unsent": sum(run.unsent for each in rounds for run in (each.alone, each.flooded)),
        "flood_per_s": round(median(each.flood.all / _WHOLE for each in rounds)),
        "flood_refused": sum(each.flood.errors for each in rounds),
    }


def measure(bench: targets.Bench, rounds: int) -> Json:
    """The figures of so many rounds; raises ClusterError where a program fails."""
    found: dict[str, list[Round]] = {name: [] for name in FLOODS}
    with targets.running(bench, {"ours-flooded": targets.ours(models=1, keys=2)}) as (target,), target.awake():
        for turn in range(rounds):
            with bench.steps.step(f"floods, {turn + 1} of {rounds}"):
                for name, flood in FLOODS.items():
                    found[name].append(_round(bench.load, target, flood))
    return figures(found)


def _round(load: Load, target: Target, flood: Flood) -> Round:
    alone = load.run(target, VICTIM)
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(load.run, replace(target, key=flood.key), flood.ask)
        return Round(alone, load.run(target, VICTIM), flooding.result())


def main() -> int:
    """Measure and print; 1 where a request of the victim failed, 2 where something is missing."""
    steps, ports = Steps(), Ports()
    try:
        load = Load(build.load_generator(steps), targets.LOAD_CORE)
        with (
            tempfile.TemporaryDirectory(prefix="bench") as folder,
            targets.mock(Path(folder), load, ports) as direct,
        ):
            bench = targets.Bench(Path(folder), load, direct, steps, ports)
            result = measure(bench, int(os.environ.get("ROUNDS") or "5"))
    except ClusterError as error:
        steps.say(f"[red]{error}[/red]")
        return 2
    print(json.dumps({"bench": "gateway-flood", **result}))
    return 1 if result["flood_errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
