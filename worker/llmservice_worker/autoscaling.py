"""How many replicas: a pure rule on queue depth, called by Ray Serve about ten times a second.

Outstanding work (queued + running requests) over the target depth is what is wanted. As long as more is wanted than
there is, the rule answers the least of what was wanted meanwhile; as long as less, the most. Ray Serve acts once that
has held for its `upscale_delay_s`, `downscale_delay_s` or, from one to none, `downscale_to_zero_delay_s`. So a spike
adds no replica that is gone when it is up, a lull takes none away, and what stays could carry all that was seen.

Every number comes from Ray Serve's own fields, none from `policy_kwargs`: the policy with its keywords counts as code,
and a change of it restarts all replicas. The module imports nothing of ours or of Ray's, since Ray Serve pickles it
by value into its controller.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol


class Context(Protocol):
    """What the rule reads of Ray Serve's AutoscalingContext (2.60)."""

    config: Any  # AutoscalingConfig; target_ongoing_requests is read
    target_num_replicas: int
    capacity_adjusted_min_replicas: int
    capacity_adjusted_max_replicas: int
    policy_state: dict[str, Any]

    @property
    def total_num_requests(self) -> float:
        """Requests queued and running, a mean over the last `look_back_period_s`."""


@dataclass(frozen=True)
class Memory:
    """Kept from call to call: the count at the last call, and the nearest to it that was wanted since on one side."""

    count: int = 0
    above: int | None = None
    below: int | None = None


def decide(
    memory: Memory, target: float, outstanding: float, current: int, least: int, most: int
) -> tuple[int, Memory]:
    """The count of replicas to go to from `current`, within `least` and `most`, and the memory for the next call."""
    wanted = max(least, min(most, math.ceil(max(0.0, outstanding) / target - 1e-9)))
    if memory.count != current:
        memory = Memory(current)
    if wanted > current:
        wanted = wanted if memory.above is None else min(wanted, memory.above)
        return wanted, Memory(current, above=wanted)
    if wanted < current:
        wanted = wanted if memory.below is None else max(wanted, memory.below)
        return wanted, Memory(current, below=wanted)
    return current, Memory(current)


def queue_depth(context: Context) -> tuple[int, dict[str, Any]]:
    """Ray Serve's `policy_function`; the second value comes back as `context.policy_state` at the next call."""
    wanted, memory = decide(
        context.policy_state.get("memory", Memory()),
        context.config.target_ongoing_requests,
        context.total_num_requests,
        context.target_num_replicas,
        context.capacity_adjusted_min_replicas,
        context.capacity_adjusted_max_replicas,
    )
    return wanted, {"memory": memory}
