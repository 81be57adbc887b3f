"""`make bench-autoscaling-plot`: build/bench/autoscaling*.json as the plots and the table of docs/benchmarks.

matplotlib comes out of an environment of its own; the table goes to stdout.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps
from tests.bench.autoscaling.bench import RESULT
from tests.bench.autoscaling.figures import AIM
from tests.bench.autoscaling.reality import RESULT as REALITY
from tests.bench.gateway_build import virtual_environment

_DRAWING: Final = Path(__file__).parent / "plot.py"
_PLOTS: Final = REPOSITORY / "docs" / "benchmarks"


def table(cells: Sequence[dict[str, Any]]) -> str:
    """Markdown: what 99 % in time costs, a line per workload and cold start."""
    lines = [
        "| workload | cold start | best known | of those that scale | oracle | ours | ours/best | of those that scale |"
        " late at the best's hours | changes/day, ours and theirs | longest backlog, ours and theirs |",
        "|---" * 11 + "|",
    ]
    return "\n".join([*lines, *map(_line, cells)])


def _line(cell: dict[str, Any]) -> str:
    found = cell["compared"]
    at = found["at_aim"]
    best, scaling = found["best"], found["best_that_scales"]
    low_high = f" ({found['interval'][0]:.2f}–{found['interval'][1]:.2f})" if found["interval"] else ""
    ours = f"{at['ours']['hours']:.1f}" if "ours" in at else "not reached"
    changes, backlogs = (
        ", ".join(f"{at[name][figure]:.0f}" if name in at else "–" for name in ("ours", scaling))
        for figure in ("changes", "backlog_s")
    )
    return (
        f"| {cell['case']} | {cell['cold_start_s']:.0f} s | {_named(at, best)} | {_named(at, scaling)} "
        f"| {_named(at, 'oracle')} | {ours} | {_number(found['gpu_hours_over_best_tuned'])}{low_high} "
        f"| {_number(found['gpu_hours_over_best_that_scales'])} | {_late(found['violations_over_best'])} "
        f"| {changes} | {backlogs} s |"
    )


def _named(at: dict[str, Any], name: str | None) -> str:
    return f"{at[name]['hours']:.1f} {name}" if name in at else "not reached"


def _late(over_best: float | None) -> str:
    """The share of late requests that is so many times what the aim allows."""
    return "–" if over_best is None else f"{over_best * (1 - AIM):.2%}".replace("%", " %")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def main() -> int:
    """Draw what was run; 2 where nothing was yet."""
    found = [path for path in (RESULT, REALITY) if path.is_file()]
    if not found:
        print("run make bench-autoscaling first: it writes build/bench/autoscaling.json", file=sys.stderr)
        return 2
    if RESULT in found:
        print(table(json.loads(RESULT.read_text())["cells"]))
    python = virtual_environment("plot", Steps()) / "python"
    return subprocess.run([python, _DRAWING, RESULT.parent, _PLOTS], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
