"""How far a download has come: pure but for the clock that it is given."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from llmservice_worker.fetch.failure import FetchFailed

_WINDOW_S: Final = 60.0
_SAMPLE_S: Final = 1.0


def percent(have: int, total: int | None) -> int | None:
    """Whole percent, 100 only when all is there."""
    if not total:
        return None
    return min(have * 100 // total, 100)


def eta_seconds(have: int, total: int | None, rate: float) -> int | None:
    """Seconds left at `rate` bytes a second; None while nobody can say."""
    if not total or rate <= 0:
        return None
    return max(0, round((total - have) / rate))


@dataclass
class Meter:
    """Bytes that are here, of how many, how fast over the last minute. Threads may share it."""

    clock: Callable[[], float]
    phase: str = "Starting"
    total: int | None = None
    have: int = 0
    failure: FetchFailed | None = None
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, phase: str, total: int | None = None) -> None:
        """A phase begins; its rate is measured anew. A failure stands until a further try downloads again."""
        with self._lock:
            if phase == "Downloading":
                self.failure = None
            self.phase, self.total, self.have = phase, total, 0
            self._samples = deque([(self.clock(), 0)])

    def found(self, count: int) -> None:
        """Bytes that were here before (or, negative, were given up): they say nothing of the rate."""
        with self._lock:
            self.have += count
            self._samples = deque((moment, have + count) for moment, have in self._samples)

    def add(self, count: int) -> None:
        """Bytes that came."""
        with self._lock:
            self.have += count
            now = self.clock()
            if not self._samples or now - self._samples[-1][0] >= _SAMPLE_S:
                self._samples.append((now, self.have))
            while len(self._samples) > 1 and now - self._samples[0][0] > _WINDOW_S:
                self._samples.popleft()

    def rate(self) -> float:
        """Bytes a second over the last minute."""
        with self._lock:
            if not self._samples:
                return 0.0
            since, before = self._samples[0]
            passed = self.clock() - since
            return (self.have - before) / passed if passed > 0 else 0.0

    def snapshot(self) -> dict[str, Any]:
        """As `status.progress` has it, what is not known is absent; or why the last try failed."""
        if self.failure is not None:
            return {"phase": "Failed", "reason": str(self.failure.reason), "message": self.failure.message}
        rate = self.rate()
        parts = {
            "phase": self.phase,
            "percent": percent(self.have, self.total),
            "bytes": self.have if self.total else None,
            "totalBytes": self.total,
            "etaSeconds": eta_seconds(self.have, self.total, rate),
        }
        return {key: value for key, value in parts.items() if value is not None}


def line(snapshot: dict[str, Any], rate: float, elapsed: float) -> str:
    """One line for the log."""
    said = f"[{elapsed:6.1f} s] {snapshot['phase']}"
    if "totalBytes" not in snapshot:
        return said
    eta = f", {snapshot['etaSeconds']} s left" if "etaSeconds" in snapshot else ""
    mib = 2**20
    return (
        f"{said} {snapshot['percent']} %: {snapshot['bytes'] / mib:.0f} of {snapshot['totalBytes'] / mib:.0f} MiB, "
        f"{rate / mib:.1f} MiB/s{eta}"
    )
