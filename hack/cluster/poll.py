"""The one place that waits: a condition, asked until it holds or the deadline is over."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hack.cluster.failure import ClusterError

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    what: str,
    *,
    timeout: float,
    log: Path | None = None,
    interval: float = 0.1,
) -> T:
    """Return the first truthy answer of `condition`; what it raises ends the wait at once."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not so after {timeout:.0f} s", log)
        time.sleep(interval)
