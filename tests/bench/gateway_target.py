"""One thing that is asked: where, with which key, and the processes that answer."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHAT: Final = "/v1/chat/completions"


@dataclass(frozen=True)
class Target:
    """Where to ask: `address` is ip:port; `models` are asked in turn where `model` or `path` holds %d."""

    name: str
    address: str
    path: str = CHAT
    key: str = ""
    model: str = "m0"
    models: int = 1
    group: int = 0
    """Its processes' group."""
    always_on: bool = False
    """Never frozen: the mock, which all others need."""

    @contextmanager
    def awake(self) -> Iterator[None]:
        """It runs while the body does."""
        self.thaw()
        try:
            yield
        finally:
            if not self.always_on:
                self.freeze()

    def freeze(self) -> None:
        """None of its processes runs until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Its processes run again."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Its processes are told to end, and can hear it."""
        self._signal(signal.SIGTERM)
        self.thaw()

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        return (
            sum(_nanoseconds(task) for pid in self._processes() for task in Path(f"/proc/{pid}/task").glob("*")) / 1e9
        )

    def rss_mb(self) -> float:
        """Resident memory of all its processes, pages that they share counted once for each."""
        return sum(_resident_kb(pid) for pid in self._processes()) / 1024

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self.group, number)

    def _processes(self) -> Iterator[int]:
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            try:
                if os.getpgid(pid) == self.group:
                    yield pid
            except ProcessLookupError:  # it ended while we looked
                continue


def _nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:  # it ended while we looked
        return 0


def _resident_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
