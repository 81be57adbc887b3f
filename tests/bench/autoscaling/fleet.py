"""A fleet that takes a workload second by second, is scaled in between, and shows what an autoscaler can see of it."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.bench.autoscaling import kernel
from tests.bench.autoscaling.kernel import Engine, Floats, Ints, Replicas, Requests

UPS: Final = 0
STARTING: Final = 1
MACHINES: Final = 2
RUNNING: Final = 3
WAITING: Final = 4
QUEUED: Final = 5
CONTEXT: Final = 6
ARRIVED: Final = 7
PROMPTS: Final = 8
OUTPUTS: Final = 9
FINISHED: Final = 10
BUSY: Final = 11
FIELDS: Final = 12
"""What one row holds: replicas up, starting, and all that hold a machine (those that drain too); requests that run,
that wait in engines, that wait at the router; tokens of context; and since the beginning: arrivals, prompt tokens read,
tokens made, requests finished, seconds in which replicas stepped."""

_PLACES: Final = 192
"""Places for replicas, more than the most that is asked for: those that drain hold theirs."""


@dataclass(frozen=True)
class Workload:
    """What arrives: sorted times in seconds from 0, tokens read and made by each; all within `seconds`."""

    name: str
    arrival: Floats
    prompt: Ints
    output: Ints
    seconds: int

    def __post_init__(self) -> None:
        if len(self.arrival) == 0:
            raise ValueError(f"{self.name}: no request in it")
        if np.any(np.diff(self.arrival) < 0):
            raise ValueError(f"{self.name}: arrivals are not in order: sort them")
        if self.prompt.min() < 1 or self.output.min() < 1 or self.output.max() >= kernel.RING:
            raise ValueError(f"{self.name}: a request has no prompt, no answer, or one of {kernel.RING} tokens or more")


@dataclass
class Fleet:
    """Replicas of one kind; `cold_start_s` from the order to the first request that one takes."""

    engine: Engine
    workload: Workload
    cold_start_s: float
    replicas: int
    """Up at the beginning; then what was ordered last."""
    second: int = 0
    changes: int = 0
    """How often the order changed."""
    requests: Requests = field(init=False)
    places: Replicas = field(init=False)
    rows: Floats = field(init=False)
    sums: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.requests, self.places = _requests(self.workload), _places()
        self.rows = np.zeros((self.workload.seconds + 1, FIELDS))
        self.sums = np.zeros((self.workload.seconds + 1, FIELDS))
        self.places.phase[: self.replicas] = kernel.UP
        kernel.observe(self.requests, self.places, self.rows[0])

    def advance(self, seconds: int) -> None:
        """Let so many seconds pass, or those that the workload has left."""
        end = min(self.second + seconds, self.workload.seconds)
        kernel.record(self.engine, self.requests, self.places, self.sums, self.rows, self.second, end)
        self.second = end

    def drain(self, seconds: int) -> None:
        """Let what is left be answered, unobserved."""
        kernel.advance(self.engine, self.requests, self.places, float(self.second), float(self.second + seconds))

    def scale(self, count: int) -> None:
        """Order `count` replicas: starts what lacks; stops what starts before what is up, then what is least busy."""
        if count == self.replicas:
            return
        phase, present = self.places.phase, self._present()
        self.changes += 1
        self.replicas = count
        if count > len(present):
            free = np.flatnonzero(phase == kernel.OFF)[: count - len(present)]
            phase[free] = kernel.STARTING
            self.places.ready[free] = self.second + self.cold_start_s
        for place in sorted(present, key=self._worth)[: max(0, len(present) - count)]:
            phase[place] = kernel.OFF if phase[place] == kernel.STARTING else kernel.DRAINING

    def now(self, column: int) -> float:
        """What the last second shows."""
        return float(self.rows[self.second, column])

    def mean(self, column: int, seconds: int) -> float:
        """Of the last `seconds`, or of those that there were."""
        begin = max(0, self.second - seconds)
        if begin == self.second:
            return self.now(column)
        return float((self.sums[self.second, column] - self.sums[begin, column]) / (self.second - begin))

    def grown(self, column: int, seconds: int) -> float:
        """How much a count since the beginning grew per second, in the last `seconds`."""
        begin = max(0, self.second - seconds)
        return float(self.rows[self.second, column] - self.rows[begin, column]) / max(1, self.second - begin)

    def loads(self) -> list[tuple[float, int]]:
        """(share of the cache in use, requests that wait) of each replica that is up."""
        ups = np.flatnonzero(self.places.phase == kernel.UP)
        waiting = self.places.waiting[ups] - (self.places.read[ups] > 0)
        return list(zip((self.places.reserved[ups] / self.engine.cache).tolist(), waiting.tolist(), strict=True))

    def _present(self) -> Ints:
        return np.flatnonzero((self.places.phase == kernel.STARTING) | (self.places.phase == kernel.UP))

    def _worth(self, place: int) -> tuple[bool, float]:
        is_up = bool(self.places.phase[place] == kernel.UP)
        return is_up, kernel.outstanding(self.places, place) if is_up else -float(self.places.ready[place])


def _requests(workload: Workload) -> Requests:
    count = len(workload.arrival)
    return Requests(
        arrival=workload.arrival,
        prompt=workload.prompt,
        output=workload.output,
        first=np.full(count, np.nan),
        finish=np.full(count, np.nan),
        after=np.full(count, kernel.NOBODY),
        cursor=np.zeros(2, np.int64),
    )


def _places() -> Replicas:
    def count() -> Ints:
        return np.zeros(_PLACES, np.int64)

    def time() -> Floats:
        return np.zeros(_PLACES)

    return Replicas(
        phase=count(),
        ready=time(),
        clock=time(),
        steps=count(),
        decoding=count(),
        seated=count(),
        waiting=count(),
        context=count(),
        reserved=count(),
        head=count(),
        tail=count(),
        read=count(),
        ending=np.full((_PLACES, kernel.RING), kernel.NOBODY),
        prompts=count(),
        outputs=count(),
        finished=count(),
        busy=time(),
    )
