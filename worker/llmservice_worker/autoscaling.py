"""How many replicas: a pure rule on queue depth, called by Ray Serve about ten times a second.

Outstanding work (queued + running requests) over the target depth is what is wanted. More is wanted for `up_delay_s`
without a break: up to the least of what was wanted meanwhile. Less for `down_delay_s`: down to the most. To zero only
after `idle_after_s` without any work. So one spike neither adds a replica that is gone when it is up, nor one lull
takes one away, and what stays after a step down could carry all that was seen.

The module imports nothing of ours or of Ray's, since Ray Serve pickles it by value into its controller.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol


class Context(Protocol):
    """What the rule reads of Ray Serve's AutoscalingContext (2.60)."""

    current_time: float | None
    target_num_replicas: int
    capacity_adjusted_min_replicas: int
    capacity_adjusted_max_replicas: int
    policy_state: dict[str, Any]

    @property
    def total_num_requests(self) -> float:
        """Requests queued and running."""


@dataclass(frozen=True)
class Aims:
    """Requests per replica that scaling aims at, and delays in seconds."""

    target: float
    up_delay_s: float
    down_delay_s: float
    idle_after_s: float


@dataclass(frozen=True)
class Memory:
    """What is kept from call to call: since when (seconds) more or less is wanted without a break, and how much."""

    above_since: float | None = None
    above_least: int = 0
    below_since: float | None = None
    below_most: int = 0
    idle_since: float | None = None


def decide(
    aims: Aims, memory: Memory, now: float, outstanding: float, current: int, least: int, most: int
) -> tuple[int, Memory]:
    """The number of replicas from `least` to `most`, and the memory for the next call."""
    idle_since = None if outstanding > 0 else now if memory.idle_since is None else memory.idle_since
    wanted = math.ceil(max(0.0, outstanding) / aims.target - 1e-9)
    if current > 0 and (idle_since is None or now - idle_since < aims.idle_after_s):
        wanted = max(1, wanted)
    wanted = max(least, min(most, wanted))
    memory = replace(memory, idle_since=idle_since)
    if wanted > current:
        return _up(aims, memory, now, wanted, current)
    if wanted < current:
        return _down(aims, memory, now, wanted, current)
    return current, Memory(idle_since=idle_since)


def _up(aims: Aims, memory: Memory, now: float, wanted: int, current: int) -> tuple[int, Memory]:
    since = now if memory.above_since is None else memory.above_since
    amount = wanted if memory.above_since is None else min(wanted, memory.above_least)
    if now - since >= aims.up_delay_s or current == 0:
        return amount, Memory(idle_since=memory.idle_since)
    return current, Memory(above_since=since, above_least=amount, idle_since=memory.idle_since)


def _down(aims: Aims, memory: Memory, now: float, wanted: int, current: int) -> tuple[int, Memory]:
    since = now if memory.below_since is None else memory.below_since
    amount = wanted if memory.below_since is None else max(wanted, memory.below_most)
    if wanted == 0 and current == 1:
        return 0, Memory(idle_since=memory.idle_since)
    if now - since >= aims.down_delay_s:
        return amount, Memory(idle_since=memory.idle_since)
    return current, Memory(below_since=since, below_most=amount, idle_since=memory.idle_since)


class QueueDepth:
    """Ray Serve's `policy_function`, made once per deployment with `policy_kwargs`; Ray Serve keeps its state."""

    def __init__(self, target: float, up_delay_s: float, down_delay_s: float, idle_after_s: float) -> None:
        self._aims = Aims(target, up_delay_s, down_delay_s, idle_after_s)

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        """Decide on what Ray Serve saw; the second value comes back as `context.policy_state` at the next call."""
        wanted, memory = decide(
            self._aims,
            context.policy_state.get("memory", Memory()),
            context.current_time or 0.0,
            context.total_num_requests,
            context.target_num_replicas,
            context.capacity_adjusted_min_replicas,
            context.capacity_adjusted_max_replicas,
        )
        return wanted, {"memory": memory}
