"""Where an operator's CPU goes: its stacks as py-spy sees them from outside, by the part that asked for the work."""

import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hack.cluster.failure import ClusterError

_PER_SECOND: Final = "200"
_END_S: Final = 60
OTHER: Final = "event loop"
PARTS: Final = (
    ("decisions", "/llmservice_operator/plan.py"),
    ("status", "/llmservice_operator/report.py"),
    ("observing", "/llmservice_operator/observe.py"),
    ("requests", "/llmservice_operator/cluster.py"),
    ("store and queue", "/llmservice_operator/handlers.py"),
    ("store and queue", "/llmservice_operator/execute.py"),
    ("kopf", "/kopf/"),
    ("answers of the API server", "/aiohttp/"),
    ("rest of a reconcile", "/llmservice_operator/"),
)
"""Parts by what stands in the path of any of a stack's frames; the first of them that does has the sample."""


def part_of(stack: str) -> str:
    """Of a stack as py-spy writes it: `function (path:line)` from the outermost frame on, with semicolons between."""
    return next((name for name, path in PARTS if path in stack), OTHER)


def shares(text: str) -> dict[str, float]:
    """Of each part, the largest first; `text` is py-spy's, a line for each stack with its samples at the end."""
    counted: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        counted[part_of(stack)] += int(samples)
    total = counted.total()
    return {name: round(samples / total, 3) for name, samples in counted.most_common()}


@contextlib.contextmanager
def profiled(pid: int, folder: Path) -> Iterator[dict[str, float]]:
    """Shares of a process's CPU while the block ran, there once it has ended. ClusterError where nothing was seen."""
    stacks, found = folder / "stacks.txt", dict[str, float]()
    program = Path(sys.executable).with_name("py-spy")
    words = ["record", "--nonblocking", "--full-filenames", "--format", "raw", "--rate", _PER_SECOND]
    spy = subprocess.Popen([program, *words, "--output", stacks, "--pid", str(pid)], stderr=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        spy.send_signal(signal.SIGINT)
        _, said = spy.communicate(timeout=_END_S)
    if not stacks.is_file():
        raise ClusterError(f"py-spy wrote nothing: {said.strip()}")
    found |= shares(stacks.read_text())
