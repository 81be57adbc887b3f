"""One run of the load generator against one target."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hack.cluster.failure import ClusterError
from tests.bench.gateway_target import Target

_PATIENCE: Final = 15.0
"""Seconds that a run may take beyond its own time."""


@dataclass(frozen=True)
class Ask:
    """What to ask; `delay` is the upstream's in milliseconds, `rate` requests/s (0: each connection again at once).

    With `streams` so many streams are asked for, and `seconds` is the longest that they may take.
    """

    body: int = 1024
    delay: int = 0
    at_once: int = 1
    rate: float = 0
    streams: int = 0
    seconds: float = 0.6
    warm: float = 0.15
    patience: float = 10
    """Seconds that are waited for what is under way at the end."""
    niceness: int = 0
    """Of the load generator: one that floods must not take the core from one that measures."""


@dataclass(frozen=True)
class Run:
    """What came of it; times are microseconds. `cpu_us` is the target's CPU time per request, of a stream per event."""

    requests: int
    all: int
    errors: int
    unsent: int
    first_error: str
    seconds: float
    rps: float
    p50_us: float
    p99_us: float
    streams: int
    whole: int
    events: int
    lost: int
    first_p50_us: float
    first_p99_us: float
    gap_p50_us: float
    gap_p99_us: float
    transit_p50_us: float
    transit_p99_us: float
    cpu_us: float = 0
    busy: float = field(default=0)
    """Share of the gateway's core that the target used."""


@dataclass(frozen=True)
class Load:
    """The load generator, on its core."""

    program: Path
    core: int

    def run(self, target: Target, ask: Ask) -> Run:
        """Asks the target, which must be running; raises ClusterError where nothing can be asked."""
        if ask.streams:  # what a target does at the first request after a pause is no part of a stream
            self._run(target, Ask(seconds=0.1, warm=0))
        used = target.cpu_seconds()
        found = self._run(target, ask)
        used = target.cpu_seconds() - used
        counted = found["events"] if ask.streams else found["all"]
        span = found["seconds"] + (0 if ask.streams else ask.warm)
        return Run(**found, cpu_us=1e6 * used / max(1, counted), busy=used / span)

    def answers(self, target: Target) -> bool:
        """Whether one request is answered with 200."""
        try:
            found = self._run(target, Ask(seconds=0.05, warm=0, patience=2))
        except ClusterError:
            return False
        return bool(found["all"]) and not found["errors"]

    def _run(self, target: Target, ask: Ask) -> dict[str, Any]:
        words = {
            "address": target.address,
            "path": target.path,
            "key": target.key,
            "model": target.model,
            "models": target.models,
            "body": ask.body,
            "delay": ask.delay,
            "at-once": ask.at_once,
            "rate": ask.rate,
            "streams": ask.streams,
            "warm": f"{ask.warm}s",
            "duration": f"{ask.seconds}s",
            "patience": f"{ask.patience}s",
        }
        argv = ["nice", "-n", str(ask.niceness), "taskset", "--cpu-list", str(self.core), str(self.program), "load"]
        argv += [f"-{name}={value}" for name, value in words.items()]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=ask.warm + ask.seconds + _PATIENCE, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"{target.name}: {done.stderr.strip()}")
        return dict(json.loads(done.stdout))
