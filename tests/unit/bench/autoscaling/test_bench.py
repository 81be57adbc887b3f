from pathlib import Path
from typing import Any

import pytest

from tests.bench.autoscaling import bench
from tests.bench.autoscaling.bench import KEYS, compared, headline, plan
from tests.bench.autoscaling.cases import Case
from tests.bench.autoscaling.figures import Point
from tests.bench.autoscaling.simulation import Outcome
from tests.unit.bench.autoscaling.fleets import PLAIN, workload


def points(*pairs: tuple[int, float], changes: float = 10) -> list[Point]:
    """Of (violations in 10,000, GPU-hours)."""
    return [Point(hours, (Outcome(10_000, violations, hours, changes, 0),) * 3) for violations, hours in pairs]


TUNING = Case("tuning", PLAIN, lambda _seed, _among: workload((0, 1, 1)))


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"TRACES": "/nowhere"}, "TRACES=/nowhere: no such directory"),
        ({"COLD": "5,x"}, "COLD=5,x: give seconds"),
        ({"COLD": "-100"}, "COLD=-100: give seconds"),
        ({"COLD": "nan"}, "COLD=nan: give seconds"),
        ({"SEEDS": "0"}, "SEEDS=0: give a count"),
        ({"QUICK": "true"}, "QUICK=true: give 1"),
        ({"QUICK": "1", "SEEDS": "0"}, "SEEDS=0: give a count"),
        ({"SEEDS": "-1"}, "SEEDS=-1: give a count"),
        ({"CASES": "servegen,nothing"}, "there is no nothing; name some of servegen"),
    ],
)
def test_bad_variables_are_named(
    environment: dict[str, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [Case(name, PLAIN, lambda _seed, _among: workload((0, 1, 1))) for name in ("servegen", "step", "bursts")]
    monkeypatch.setattr(bench, "cases", lambda _: known)
    monkeypatch.setattr(bench, "tuning", lambda _: TUNING)
    with pytest.raises(ValueError, match=why):
        plan({"TRACES": str(tmp_path), **environment})


def test_a_quick_look_is_two_workloads_at_one_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [Case(name, PLAIN, lambda _seed, _among: workload((0, 1, 1))) for name in ("servegen", "step", "bursts")]
    monkeypatch.setattr(bench, "cases", lambda _: known)
    monkeypatch.setattr(bench, "tuning", lambda _: TUNING)
    found = plan({"TRACES": str(tmp_path), "QUICK": "1"})
    assert [case.name for case in found.cases] == ["servegen", "step"]
    assert (found.cold_starts_s, found.seeds) == ((45.0,), 3)
    assert plan({"TRACES": str(tmp_path), "QUICK": "1", "SEEDS": "2", "CASES": ""}).seeds == 2
    assert plan({"TRACES": str(tmp_path)}).seeds == 10


def test_what_it_was_tuned_on_is_run_where_it_is_named_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "cases", lambda _: [Case("step", PLAIN, lambda _seed, _among: workload((0, 1, 1)))])
    monkeypatch.setattr(bench, "tuning", lambda _: TUNING)
    assert [case.name for case in plan({"TRACES": str(tmp_path)}).cases] == ["step"]
    assert plan({"TRACES": str(tmp_path), "CASES": "tuning"}).cases == (TUNING,)


def test_ours_beside_the_best_the_best_that_scales_and_the_oracle() -> None:
    found = compared(
        {
            "static": points((400, 10), (25, 20)),
            "hpa": points((400, 20), (25, 30), changes=40),
            "keda": points((900, 20), (800, 90)),
            "oracle": points((100, 10)),
            "ours": points((400, 8), (25, 16)),
        }
    )
    assert (found["best"], found["best_that_scales"]) == ("static", "hpa")
    assert found["gpu_hours_over_best_tuned"] == pytest.approx(12 / 15)
    assert found["interval"] == (pytest.approx(12 / 15), pytest.approx(12 / 15))
    assert found["gpu_hours_over_best_that_scales"] == pytest.approx(12 / 25)
    assert found["gpu_hours_over_oracle"] == pytest.approx(12 / 10)
    assert found["changes_over_best"] == pytest.approx(10 / 40)
    # With 15 hours ours misses less than the 1 % that the best one misses.
    assert found["violations_over_best"] == pytest.approx(0.04 * (1 / 16) ** (7 / 8) / 0.01)
    assert "keda" not in found["at_aim"]


def test_the_headline_is_the_worst_of_all_and_none_where_one_is_missing() -> None:
    cells: list[dict[str, Any]] = [
        {"compared": dict.fromkeys(KEYS, 0.8)},
        {"compared": {**dict.fromkeys(KEYS, 0.9), KEYS[1]: None}},
    ]
    assert headline(cells) == {**dict.fromkeys(KEYS, 0.9), KEYS[1]: None}
