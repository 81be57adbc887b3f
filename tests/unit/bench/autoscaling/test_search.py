from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.autoscaling import search
from tests.bench.autoscaling.candidates import Candidate
from tests.bench.autoscaling.cases import Case
from tests.bench.autoscaling.known.fixed import Static
from tests.bench.autoscaling.search import Race, curve, searched
from tests.unit.bench.autoscaling.fleets import PLAIN, workload

# Seats for four at once, and twelve come: three replicas are the fewest that are in time.
CROWD = workload(*[(64.0, 1, 80)] * 12, seconds=70)
ENGINE = PLAIN._replace(step_s=0.03125)
RACE = Race(Case("crowd", ENGINE, lambda _seed, _among: CROWD), [CROWD], 0)
COUNTS = Candidate(lambda _n, _c, count: Static(int(count)), tuple(float(count) for count in range(1, 13)), "")


def test_a_curve_holds_the_settings_on_either_side_of_the_aim() -> None:
    found = searched(COUNTS, RACE)
    first = next(point.setting for point in found if point.violations() == 0)
    assert first - 1 in [point.setting for point in found]
    assert 3 <= first <= 12
    assert len(found) <= 4


Change = Callable[[Race], tuple[str, Candidate, Race]]


@pytest.mark.parametrize(
    ("change", "is_run_again"),
    [
        (lambda race: ("static", COUNTS, race), False),
        (lambda race: ("ours", COUNTS, race), True),
        (lambda race: ("static", replace(COUNTS, settings=COUNTS.settings[1:]), race), True),
        (lambda race: ("static", COUNTS, replace(race, cold_start_s=1)), True),
        (lambda race: ("static", COUNTS, replace(race, workloads=[CROWD, CROWD])), True),
    ],
    ids=["the same", "another autoscaler", "other settings", "another cold start", "more draws"],
)
def test_only_what_was_not_run_before_is_run(
    change: Change, is_run_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMSERVICE_CACHE", str(tmp_path))
    first = curve("static", COUNTS, RACE)
    ran: list[float] = []

    def make(_number: int, _cold_start_s: float, count: float) -> Static:
        ran.append(count)
        return Static(int(count))

    name, candidate, race = change(RACE)
    found = curve(name, replace(candidate, make=make), race)
    assert bool(ran) == is_run_again
    assert is_run_again or found == first


def test_a_changed_rule_is_run_again_and_a_known_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSERVICE_CACHE", str(tmp_path))
    for name in ("ours", "static"):
        curve(name, COUNTS, RACE)
    changed = tmp_path / "rule.py"
    changed.write_text("another")
    monkeypatch.setattr(search, "_RULE", (changed,))
    for name in ("ours", "static"):
        curve(name, COUNTS, RACE)
    assert len(list((tmp_path / "bench-autoscaling").glob("*.json"))) == 3
