"""A clock that is set while processes run: Debian's libfaketime reads how far it is off from a file, at each look.

Only the time of day is set. Clocks that only grow do not jump, as they do not where a machine's clock is set.
"""

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hack.cluster import machine
from hack.cluster.progress import Steps
from tests.integration.haproxy_program import haproxy

MINUTE_S = 60
_SHARED = Path("/dev/shm")


class Clock:
    """How far the processes' clock is off is kept in `folder`; instants are seconds since 1970."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "clock"
        self._ahead = 0.0
        seen = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        # The agent gives HAProxy no variable of its own environment.
        program = folder / "haproxy"
        words = " ".join(f"{name}={shlex.quote(text)}" for name, text in seen.items())
        program.write_text(f'#!/bin/sh\nexec env {words} {haproxy()} "$@"\n')
        program.chmod(0o755)
        self.variables: Mapping[str, str] = seen | {"LLMSERVICE_GATEWAY_HAPROXY": str(program)}
        self.step(0)

    @property
    def now(self) -> float:
        """What the processes see."""
        return time.time() + self._ahead

    @property
    def left_of_minute(self) -> float:
        """Seconds until the next one begins."""
        return MINUTE_S - self.now % MINUTE_S

    def at(self, seconds: float) -> str:
        """The instant so many seconds from now, as objects say it."""
        return datetime.fromtimestamp(self.now + seconds, UTC).isoformat(timespec="milliseconds")

    def step(self, seconds: float) -> None:
        """Sets the clock ahead, or back."""
        self._ahead += seconds
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{self._ahead:+f}\n")
        draft.rename(self._file)


@contextmanager
def settable_clock(folder: Path) -> Iterator[Clock]:
    """A clock whose variables processes are started with; installs the library where it is missing."""
    machine.ensure(machine.CLOCK, Steps())
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    before = _shared()
    try:
        yield Clock(folder, library)
    finally:
        for each in _shared() - before:  # the library leaves them behind
            each.unlink(missing_ok=True)


def _shared() -> set[Path]:
    return {_SHARED / name for name in os.listdir(_SHARED) if "faketime" in name}
