from typing import Any

from tests.bench.autoscaling.plotting import table


def cell(**changed: Any) -> dict[str, Any]:
    """Ours beside a static fleet and an HPA."""
    compared = {
        "at_aim": {
            "static": {"hours": 20.0, "changes": 0, "backlog_s": 2},
            "hpa": {"hours": 25.0, "changes": 300, "backlog_s": 12.4},
            "oracle": {"hours": 15.0, "changes": 90, "backlog_s": 1},
            "ours": {"hours": 18.0, "changes": 80.4, "backlog_s": 8},
        },
        "best": "static",
        "best_that_scales": "hpa",
        "gpu_hours_over_best_tuned": 0.9,
        "gpu_hours_over_best_that_scales": 0.72,
        "interval": (0.85, 0.95),
        "gpu_hours_over_oracle": 1.2,
        "violations_over_best": 0.456,
        "changes_over_best": 0.27,
    }
    return {"case": "day", "cold_start_s": 45.0, "compared": {**compared, **changed}}


def test_a_line_per_workload_and_cold_start() -> None:
    assert table([cell()]).splitlines()[2] == (
        "| day | 45 s | 20.0 static | 25.0 hpa | 15.0 oracle | 18.0 | 0.90 (0.85–0.95) | 0.72 "
        "| 0.46 % | 80, 300 | 8, 12 s |"
    )


def test_what_was_not_reached_is_said() -> None:
    nothing = cell(
        at_aim={},
        best=None,
        best_that_scales=None,
        interval=None,
        gpu_hours_over_best_tuned=None,
        gpu_hours_over_best_that_scales=None,
        violations_over_best=None,
    )
    line = table([nothing]).splitlines()[2]
    assert line == "| day | 45 s | not reached | not reached | not reached | not reached | – | – | – | –, – | –, – s |"
