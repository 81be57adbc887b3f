"""`make bench-gateway`: what our gateway costs, beside plain proxies and the gateways that PyPI has.

Load and mock upstream on one core, one gateway at a time on the other; interleaved rounds with rotated order. Prints
one JSON line last and writes it to build/bench/gateway.json. ROUNDS=<n> and QUICK=1 in the environment make it shorter.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hack.cluster.cache import REPOSITORY
from hack.cluster.failure import ClusterError
from hack.cluster.ports import Ports
from hack.cluster.progress import Steps
from tests.bench import gateway_build as build
from tests.bench import gateway_flood as flood
from tests.bench import gateway_routable as routable
from tests.bench import gateway_targets as targets
from tests.bench.gateway_asking import Load
from tests.bench.gateway_cells import FULL, QUICK, Runs, Schedule, highest_rates, measure
from tests.bench.gateway_figures import by_cell, headline
from tests.bench.rounds import rounds

Json = dict[str, Any]

RESULT: Final = REPOSITORY / "build" / "bench" / "gateway.json"
SIDE_BY_SIDE: Final[Mapping[str, targets.Maker]] = {
    "nginx": targets.nginx,
    "haproxy": targets.haproxy,
    "ours": targets.ours(models=1, keys=1),
    "vllm-router": targets.vllm_router,
    "smg": targets.smg,
    "litellm": targets.litellm,
}
SCALED: Final[Mapping[str, targets.Maker]] = {
    "ours-200": targets.ours(models=200, keys=1, name="ours-200"),
    "ours-5000": targets.ours(models=5000, keys=10_000, name="ours-5000"),
}


def chosen(environment: Mapping[str, str]) -> tuple[Schedule, routable.Crowd]:
    """What ROUNDS and QUICK ask for; raises ClusterError for a ROUNDS that is no number of rounds."""
    quick = environment.get("QUICK", "") not in ("", "0")
    schedule = QUICK if quick else FULL
    turns = rounds(environment, schedule.rounds)
    crowd = routable.QUICK if quick else routable.Crowd()
    return replace(schedule, rounds=turns, crowds=min(schedule.crowds, turns)), crowd


def main() -> int:
    """Measure, print, write; 1 where an answer of ours failed, 2 where something is missing."""
    steps = Steps()
    try:
        schedule, crowd = chosen(os.environ)
        result = _result(schedule, crowd, steps)
    except ClusterError as error:
        steps.say(f"[red]{error}[/red]")
        return 2
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result) + "\n")
    print(json.dumps(result))
    return 1 if result["errors"] or result["flood_errors"] else 0


def _result(schedule: Schedule, crowd: routable.Crowd, steps: Steps) -> Json:
    ports = Ports()
    load = Load(build.load_generator(steps), targets.LOAD_CORE)
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with targets.mock(Path(folder), load, ports) as direct:
            bench = targets.Bench(Path(folder), load, direct, steps, ports)
            noise = os.getloadavg()[0]
            runs, found = _side_by_side(bench, schedule)
            found |= flood.measure(bench, schedule.rounds)
            found |= routable.measure(bench, crowd)
    return {
        "bench": "gateway",
        "rounds": schedule.rounds,
        "load_average_before": round(noise, 1),
        **headline(runs),
        **found,
        "cells": by_cell(runs),
    }


def _side_by_side(bench: targets.Bench, schedule: Schedule) -> tuple[Runs, Json]:
    with targets.running(bench, {**SIDE_BY_SIDE, **SCALED}) as started:
        scaled = [target for target in started if target.name in SCALED]
        others = [bench.mock, *(target for target in started if target.name not in SCALED)]
        runs = measure(bench.load, others, scaled, schedule, bench.steps)
        rates = highest_rates(bench.load, others, runs, schedule, bench.steps)
        memory = {target.name: round(target.rss_mb()) for target in started}
    return runs, {
        "rss_mb": memory["ours"],
        "rss_all_mb": memory,
        "rps_at_p99_10ms": {name: round(rate) for name, rate in rates.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
