"""`make bench-gateway-plot`: draws build/bench/gateway.json with matplotlib out of an environment of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps
from tests.bench.gateway import RESULT
from tests.bench.gateway_build import virtual_environment

_DRAWING: Final = Path(__file__).parent / "gateway_plot.py"
_PLOT: Final = REPOSITORY / "docs" / "benchmarks" / "gateway.svg"


def main() -> int:
    """Draw; 2 where no benchmark was run yet."""
    if not RESULT.is_file():
        print("run make bench-gateway first: it writes build/bench/gateway.json", file=sys.stderr)
        return 2
    python = virtual_environment("plot", Steps()) / "python"
    return subprocess.run([python, _DRAWING, RESULT, _PLOT], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
