"""One autoscaler's curve: the settings on either side of the aim, kept from run to run by what they follow from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np

from hack.cluster.cache import cache_root
from llmservice_worker import autoscaling
from tests.bench.autoscaling.candidates import OURS, Candidate
from tests.bench.autoscaling.cases import Case
from tests.bench.autoscaling.figures import AIM, Point
from tests.bench.autoscaling.fleet import Workload
from tests.bench.autoscaling.simulation import Outcome, simulate

_HERE: Final = Path(__file__).parent
_MODEL: Final = tuple(
    _HERE / f"{name}.py" for name in ("candidates", "figures", "fleet", "hindsight", "kernel", "search", "simulation")
)
_RULE: Final = (_HERE / "ours.py", Path(autoscaling.__file__))


@dataclass(frozen=True)
class Race:
    """What all autoscalers are run on."""

    case: Case
    workloads: Sequence[Workload]
    cold_start_s: float


def curve(name: str, candidate: Candidate, race: Race) -> list[Point]:
    """As `searched`, which the same code on the same requests need not do twice: known autoscalers change seldom."""
    path = cache_root() / "bench-autoscaling" / f"{_digest(name, candidate, race)}.json"
    if path.exists():
        return [_point(each) for each in json.loads(path.read_text())]
    points = searched(candidate, race)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([asdict(point) for point in points]))
    partial.replace(path)
    return points


def searched(candidate: Candidate, race: Race) -> list[Point]:
    """The settings on either side of the aim, and those tried on the way: a search by halves, lean to lavish."""
    points: dict[int, Point] = {}
    low, high = -1, len(candidate.settings)
    while high - low > 1:
        middle = (low + high) // 2
        points[middle] = _ran(candidate, candidate.settings[middle], race)
        low, high = (low, middle) if points[middle].violations() <= 1 - AIM else (middle, high)
    return [points[index] for index in sorted(points)]


def _ran(candidate: Candidate, setting: float, race: Race) -> Point:
    runs = [
        simulate(race.case.engine, workload, race.cold_start_s, candidate.make(number, race.cold_start_s, setting))
        for number, workload in enumerate(race.workloads)
    ]
    return Point(setting, tuple(runs))


def _digest(name: str, candidate: Candidate, race: Race) -> str:
    versions = (numba.__version__, np.__version__)
    found = hashlib.sha256(repr((name, candidate.settings, race.case.engine, race.cold_start_s, versions)).encode())
    for path in (*_MODEL, *sorted((_HERE / "known").glob("*.py")), *(_RULE if name == OURS else ())):
        found.update(path.read_bytes())
    for workload in race.workloads:
        for numbers in (workload.arrival, workload.prompt, workload.output):
            found.update(numbers.tobytes())
    return found.hexdigest()


def _point(kept: dict[str, Any]) -> Point:
    return Point(kept["setting"], tuple(Outcome(**run) for run in kept["runs"]))
