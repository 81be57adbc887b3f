"""`make bench-control-plane-plot`: draws build/bench/control_plane.json with matplotlib out of its own environment."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps
from tests.bench.control_plane.bench import RESULT
from tests.bench.gateway_build import virtual_environment

_DRAWING: Final = Path(__file__).parent / "plot.py"
_PLOT: Final = REPOSITORY / "docs" / "benchmarks" / "control-plane.svg"


def main() -> int:
    """Draw; 2 where no benchmark was run yet."""
    if not RESULT.is_file():
        print("run make bench-control-plane first: it writes build/bench/control_plane.json", file=sys.stderr)
        return 2
    python = virtual_environment("plot", Steps()) / "python"
    return subprocess.run([python, _DRAWING, RESULT, _PLOT], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
