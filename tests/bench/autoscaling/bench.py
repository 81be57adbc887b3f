"""`make bench-autoscaling`: known autoscalers and ours on the same traces; one JSON line last.

`TRACES` names a directory with files of the published forms, `SEEDS` how many draws (10), `COLD` cold starts in seconds
(5,15,45,120,430), `CASES` workloads by name; `QUICK=1` takes 3 draws of two workloads at one cold start.
"""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.autoscaling.candidates import KNOWN, ORACLE, OURS, SHIPPED, STATIC, Candidate, clairvoyant
from tests.bench.autoscaling.cases import COLD_STARTS_S, TUNING, Case, cases, tuning
from tests.bench.autoscaling.figures import AIM, AtAim, Point, at_aim, interval, violations_at
from tests.bench.autoscaling.search import Race, curve
from tests.bench.quick import is_quick

RESULT: Final = Path(__file__).parents[3] / "build" / "bench" / "autoscaling.json"
KEYS: Final = ("gpu_hours_over_best_tuned", "gpu_hours_over_oracle", "violations_over_best", "changes_over_best")
_QUICK: Final = {"CASES": "servegen,step", "COLD": "45", "SEEDS": "3"}
_SEEDS: Final = 10

Json = dict[str, Any]
Curves = Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    cases: tuple[Case, ...]
    cold_starts_s: tuple[float, ...]
    seeds: int


def plan(environment: Mapping[str, str]) -> Plan:
    """Raises ValueError or OSError that name what is wrong with a variable or a file."""
    directory = Path(environment.get("TRACES") or "../shared/traces")
    if not directory.is_dir():
        raise ValueError(f"TRACES={directory}: no such directory; name the one that holds the traces")
    if is_quick(environment):
        environment = {**_QUICK, **{name: text for name, text in environment.items() if text}}
    reported = {case.name: case for case in cases(directory)}
    known = (*reported, TUNING)
    names = environment.get("CASES", "").split(",") if environment.get("CASES") else list(reported)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"CASES: there is no {', '.join(unknown)}; name some of {', '.join(known)}")
    found = reported | ({TUNING: tuning(directory)} if TUNING in names else {})
    return Plan(tuple(found[name] for name in names), _cold_starts(environment), _seeds(environment))


def _cold_starts(environment: Mapping[str, str]) -> tuple[float, ...]:
    text = environment.get("COLD")
    if not text:
        return COLD_STARTS_S
    if not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in text.split(",")):
        raise ValueError(f"COLD={text}: give seconds with commas between, such as 5,45")
    return tuple(float(part) for part in text.split(","))


def _seeds(environment: Mapping[str, str]) -> int:
    text = environment.get("SEEDS") or str(_SEEDS)
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"SEEDS={text}: give a count of draws, such as {_SEEDS}")
    return int(text)


def compared(curves: Curves) -> Json:
    """Ours beside the best known one and beside the oracle, for one workload and cold start."""
    reached = {name: at for name, points in curves.items() if (at := at_aim(points)) is not None}
    known = {name: at for name, at in reached.items() if name in KNOWN}
    best = min(known, key=lambda name: known[name].hours, default=None)
    scaling = min((name for name in known if name != STATIC), key=lambda name: known[name].hours, default=None)
    ours = reached.get(OURS)
    return {
        "at_aim": {name: asdict(at) for name, at in reached.items()},
        "best": best,
        "best_that_scales": scaling,
        "gpu_hours_over_best_tuned": _over(ours, known.get(best or "")),
        "gpu_hours_over_best_that_scales": _over(ours, known.get(scaling or "")),
        "interval": interval(curves[OURS], curves[best]) if best and ours else None,
        "gpu_hours_over_oracle": _over(ours, reached.get(ORACLE)),
        "violations_over_best": violations_at(curves[OURS], known[best].hours) / (1 - AIM) if best else None,
        "changes_over_best": _changes(ours, known.get(scaling or "")),
    }


def _over(ours: AtAim | None, theirs: AtAim | None) -> float | None:
    return ours.hours / theirs.hours if ours and theirs else None


def _changes(ours: AtAim | None, theirs: AtAim | None) -> float | None:
    return ours.changes / max(theirs.changes, 1.0) if ours and theirs else None


def headline(cells: Sequence[Json]) -> dict[str, float | None]:
    """The worst of each key; None where a cell has none, since no number would be as bad."""
    found = {key: [cell["compared"][key] for cell in cells] for key in KEYS}
    return {key: None if None in values else round(max(values), 3) for key, values in found.items()}


def cell(race: Race, oracle: Candidate) -> Json:
    """All autoscalers on one workload and cold start."""
    curves: dict[str, list[Point]] = {}
    for name, candidate in {**KNOWN, ORACLE: oracle, OURS: SHIPPED}.items():
        curves[name] = curve(name, candidate, race)
        at = at_aim(curves[name])
        said = (
            f"{at.hours:8.2f} GPU-hours {at.changes:6.0f} changes/day {at.backlog_s:6.0f} s of backlog"
            if at
            else "   99 % not reached"
        )
        print(f"{race.case.name:10} {race.cold_start_s:4.0f} s  {name:16} {said}", file=sys.stderr, flush=True)
    return {
        "case": race.case.name,
        "cold_start_s": race.cold_start_s,
        "compared": compared(curves),
        "curves": {name: [_shown(point) for point in points] for name, points in curves.items()},
    }


def _shown(point: Point) -> Json:
    return {
        "setting": point.setting,
        "attainment": 1 - point.violations(),
        "gpu_hours": point.hours(),
        "changes_per_day": point.changes(),
        "backlog_s": point.backlog_s(),
    }


def main() -> int:
    """Run; 2 where a variable or a file is wrong. What is done so far stands in build/bench/autoscaling.json."""
    try:
        todo = plan(os.environ)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    cells: list[Json] = []
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    for case in todo.cases:
        workloads = [case.draw(seed, todo.seeds) for seed in range(todo.seeds)]
        oracle = clairvoyant(case.engine, workloads)
        for cold_start_s in todo.cold_starts_s:
            cells.append(cell(Race(case, workloads, cold_start_s), oracle))
            RESULT.write_text(json.dumps({"seeds": todo.seeds, "cells": cells}, indent=1))
    print(json.dumps(headline(cells)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
