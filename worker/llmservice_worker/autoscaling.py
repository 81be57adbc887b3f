"""How many replicas: a pure rule on queue depth, called by Ray Serve about four times a second.

What is to be carried is the rate of requests, not their number: the number swells while replicas start, and would order
them twice. Each replica counts the requests that it took. From their rate, its usual spread, and how long a request
stays where it is alone follows what a replica carries at the target depth, and so how many are needed:

    (level + SPREADS · spread) / rate of a replica at its target depth  +  what drains a backlog

More are ordered at once; those that start count as there. Fewer are ordered once fewer were needed for a cold start
(measured) or `downscale_delay_s`, and only where the rest could have carried all of that time. Before enough requests
were answered to know what a replica carries, outstanding requests over the target depth are what is needed. While a
replica that is up has said nothing, none goes; while what they say is stale, all stays.

Every number comes from Ray Serve's own fields, none from `policy_kwargs`: the policy with its keywords counts as code,
and a change of it restarts all replicas. The module imports nothing of ours or of Ray's, since Ray Serve pickles it
by value into its controller. What the constants were measured on: docs/decisions/0120-autoscaling.md.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

TAKEN: Final = "requests_taken"
"""The number that each replica reports as `record_autoscaling_stats`: requests taken since it is up."""

LOOK_S: Final = 1.0
LEVEL_S: Final = 150.0
SPREAD_S: Final = 300.0
CAPACITY_S: Final = 1800.0
STALE_S: Final = 15.0
"""Without a word of any replica, or without a look: nothing is learned over such a gap."""
DRAIN_S: Final = 60.0
SPREADS: Final = 4.0
JUMP: Final = 12.0
"""Spreads between what comes now and the level, from which on the level is taken to have changed for good."""
CHANCE: Final = 4.0
"""Standard deviations of a random draw of as many requests, which no such change is within."""
SLACK: Final = 0.3
"""Part of a replica that must be left over before one goes."""
MOST_HOLD_S: Final = 900.0
ENOUGH: Final = 20
"""Answered requests, before a capacity is believed."""
_LEAST_RESIDENCE_S: Final = 2.0

# A child of Ray Serve's logger, the one that its controller writes out.
_log = logging.getLogger("ray.serve.llmservice")


class Context(Protocol):
    """What the rule reads of Ray Serve's AutoscalingContext (2.60)."""

    config: Any  # AutoscalingConfig; target_ongoing_requests and downscale_delay_s are read
    current_num_replicas: int
    target_num_replicas: int
    capacity_adjusted_min_replicas: int
    capacity_adjusted_max_replicas: int
    current_time: float | None
    policy_state: dict[str, Any]

    @property
    def total_num_requests(self) -> float:
        """Requests queued and running, a mean over the last `look_back_period_s`."""

    @property
    def raw_metrics(self) -> Mapping[str, Mapping[Any, Any]] | None:
        """Name → replica → points in the order of time, each with `timestamp` and `value`."""


@dataclass(frozen=True)
class Look:
    """What is seen at one time; `taken`: replica → (when it said so by its own clock, requests that it took)."""

    now: float
    outstanding: float
    up: int
    ordered: int
    depth: float
    least: int
    most: int
    down_delay_s: float
    taken: Mapping[Any, tuple[float, float]]

    def bounded(self, count: int) -> int:
        """Within the least and the most replicas."""
        return max(self.least, min(self.most, count))


@dataclass(frozen=True)
class Memory:
    """Kept from look to look; rates in requests per second of the whole service."""

    now: float
    since: float
    heard: float
    """When a replica last said something new."""
    ordered: int
    answer: int
    taken: Mapping[Any, tuple[float, float]] = field(default_factory=dict)
    rate: float = 0.0
    level: float = 0.0
    spread: float = 0.0
    outstanding: float = 0.0
    up: float = 0.0
    requests: float = 0.0
    """That were there in the time learned from, the older of it weighing less."""
    stays_s: float = 0.0
    """How long they stayed in all, had each been alone in its replica."""
    residence_s: float = 0.0
    """Of one of them; 0 while not known."""
    cold_start_s: float = 0.0
    starting: tuple[float, int] | None = None
    """When it was ordered, and how many replicas there will be."""
    below_since: float | None = None
    needed: int = 0
    """The most since then."""
    reason: str = ""


def decide(memory: Memory | None, look: Look) -> Memory:
    """The memory for the next call; its `answer` is the count of replicas to go to, its `reason` says why."""
    if memory is None:
        now, ordered = look.now, look.ordered
        memory = Memory(now, now, now, ordered, ordered, look.taken, requests=look.outstanding)
    elif 0 <= look.now - memory.now < LOOK_S:
        return memory
    if look.up and not look.taken:
        memory = replace(memory, now=look.now, ordered=look.ordered)
        return _answered(memory, look, *_by_depth(look))
    has_news = any(said != memory.taken.get(name) for name, said in look.taken.items())
    is_silent = look.now - memory.heard > STALE_S
    if look.up and is_silent and not has_news:
        return _held(memory, look, "what the replicas say is stale")
    if is_silent or not 0 <= look.now - memory.now <= STALE_S:
        memory = _after_a_gap(memory, look)
    memory = replace(memory, heard=look.now if has_news else memory.heard)
    memory = _learned(memory, look, look.now - memory.now)
    memory = _with_cold_start(memory, look)
    if look.ordered != memory.ordered:
        memory = replace(memory, below_since=None, needed=0)
    memory = replace(memory, now=look.now, ordered=look.ordered, taken=look.taken)
    return _answered(memory, look, *_needed(memory, look))


def _after_a_gap(memory: Memory, look: Look) -> Memory:
    """The clock was set, or nobody looked for long: what was learned stays, what was timed begins anew."""
    age = memory.now - memory.since
    return replace(
        memory, now=look.now, since=look.now - age, heard=look.now, taken=look.taken, starting=None, below_since=None
    )


def _held(memory: Memory, look: Look, why: str) -> Memory:
    answer = look.bounded(look.ordered)
    return replace(
        memory, now=look.now, ordered=look.ordered, answer=answer, below_since=None, reason=f"{answer} held: {why}"
    )


def _learned(memory: Memory, look: Look, elapsed: float) -> Memory:
    if elapsed <= 0:
        return memory
    # Of a replica that is new here it is not known when it took what it counts.
    known = [(count, memory.taken[name][1]) for name, (_, count) in look.taken.items() if name in memory.taken]
    arrived = sum(max(0.0, count - before) for count, before in known)
    return _with_residence(_with_rate(memory, look, arrived / elapsed, elapsed), look, arrived, elapsed)


def _with_rate(memory: Memory, look: Look, now: float, elapsed: float) -> Memory:
    age, over_s = look.now - memory.since, max(_LEAST_RESIDENCE_S, memory.residence_s)
    rate = _toward(memory.rate, now, elapsed, over_s, age)
    level = _toward(memory.level, now, elapsed, LEVEL_S, age)
    by_chance = math.sqrt(max(rate, level) / (2 * over_s))
    if abs(rate - level) > max(JUMP * memory.spread, CHANCE * by_chance):
        level = rate
    spread = _toward(memory.spread, abs(rate - level), elapsed, SPREAD_S, age)
    outstanding = _toward(memory.outstanding, look.outstanding, elapsed, LEVEL_S, age)
    up = _toward(memory.up, look.up, elapsed, LEVEL_S, age)
    return replace(memory, rate=rate, level=level, spread=spread, outstanding=outstanding, up=up)


def _toward(before: float, now: float, elapsed: float, constant: float, age: float) -> float:
    """A mean that forgets with a time constant, and is a plain mean as long as there was less time than that."""
    return before + max(1 - math.exp(-elapsed / constant), elapsed / max(age, elapsed)) * (now - before)


def _with_residence(memory: Memory, look: Look, arrived: float, elapsed: float) -> Memory:
    """By Little's law; one among `depth` others takes twice as long as alone, an engine's batch being what it is."""
    each = memory.outstanding / max(memory.up, 1.0)
    if look.up != look.ordered or each > 2 * look.depth:
        return memory
    kept = math.exp(-elapsed / CAPACITY_S)
    requests = kept * memory.requests + arrived
    stays_s = kept * memory.stays_s + look.outstanding / (1 + each / look.depth) * elapsed
    # Those that are still there have not shown how long they stay.
    answered = requests - look.outstanding
    residence_s = stays_s / answered if answered >= ENOUGH else memory.residence_s
    return replace(memory, requests=requests, stays_s=stays_s, residence_s=residence_s)


def _with_cold_start(memory: Memory, look: Look) -> Memory:
    if memory.starting is None:
        return replace(memory, starting=(look.now, look.ordered)) if look.ordered > memory.ordered else memory
    since, count = memory.starting
    if look.ordered < count:
        return replace(memory, starting=None)
    if look.up < count:
        return memory
    seen = look.now - since
    return replace(
        memory, starting=None, cold_start_s=(memory.cold_start_s + seen) / 2 if memory.cold_start_s else seen
    )


def _by_depth(look: Look) -> tuple[float, str]:
    return look.outstanding / look.depth, f"{look.outstanding:.1f} outstanding requests, {look.depth:g} per replica"


def _needed(memory: Memory, look: Look) -> tuple[float, str]:
    """Replicas, not rounded, and why."""
    if look.ordered <= 1 and look.outstanding <= 0:
        return 0.0, "idle"
    if memory.residence_s <= 0:
        return _by_depth(look)
    carried = look.depth / (2 * memory.residence_s)
    backlog = max(0.0, look.outstanding - 2 * look.depth * max(look.ordered, 1))
    needed = (memory.level + SPREADS * memory.spread + backlog / DRAIN_S) / carried
    if memory.rate < memory.level and backlog == 0:
        # A fall widens the spread too, and needs nothing.
        needed = min(needed, look.ordered)
    return needed, (
        f"{memory.level:.2f} requests/s, usual spread {memory.spread:.2f}, backlog {backlog:.0f}, "
        f"{carried:.2f} requests/s per replica"
    )


def _answered(memory: Memory, look: Look, needed: float, why: str) -> Memory:
    wanted, current = look.bounded(math.ceil(needed - 1e-9)), look.bounded(look.ordered)
    if wanted >= current or needed > max(0.0, current - 1 - SLACK) or len(look.taken) < look.up:
        answer = max(wanted, current)
        verb = f"up to {answer}" if answer > look.ordered else f"{answer} kept"
        return replace(memory, below_since=None, needed=0, answer=answer, reason=f"{verb}: {why}")
    since = look.now if memory.below_since is None else memory.below_since
    most = max(wanted, memory.needed)
    # Ray Serve waits for downscale_delay_s from the first answer on.
    is_due = current == 1 or look.now - since >= min(memory.cold_start_s, MOST_HOLD_S) - look.down_delay_s
    answer, verb = (most, f"down to {most}") if is_due else (current, f"{current} held, {most} would do")
    return replace(memory, below_since=since, needed=most, answer=answer, reason=f"{verb}: {why}")


def queue_depth(context: Context) -> tuple[int, dict[str, Any]]:
    """Ray Serve's `policy_function`; the second value comes back as `context.policy_state` at the next call.

    Never raises: in Ray Serve's controller that would stop the whole application's updates.
    """
    before = context.policy_state.get("memory")
    try:
        memory = decide(before if isinstance(before, Memory) else None, look_of(context))
    except Exception as error:  # noqa: BLE001 - whatever it is, the replicas stay, and it is logged once
        fault = f"{type(error).__name__}: {error}"
        if context.policy_state.get("fault") != fault:
            _log.exception("the scaling rule failed, replicas stay at %d", context.target_num_replicas)
        return context.target_num_replicas, {"fault": fault}
    if isinstance(before, Memory) and before.ordered != memory.ordered:
        _tell(before, memory)
    return memory.answer, {"memory": memory}


def look_of(context: Context) -> Look:
    """Raises ValueError where a number is none; what it names is not believed then."""
    reports = (context.raw_metrics or {}).get(TAKEN, {})
    look = Look(
        now=_number("current_time", context.current_time),
        outstanding=_number("total_num_requests", context.total_num_requests),
        up=context.current_num_replicas,
        ordered=context.target_num_replicas,
        depth=_number("target_ongoing_requests", context.config.target_ongoing_requests),
        least=context.capacity_adjusted_min_replicas,
        most=context.capacity_adjusted_max_replicas,
        down_delay_s=_number("downscale_delay_s", context.config.downscale_delay_s),
        taken={
            name: (points[-1].timestamp, _number(TAKEN, points[-1].value)) for name, points in reports.items() if points
        },
    )
    if look.depth == 0:
        raise ValueError("target_ongoing_requests is 0: it must be more")
    return look


def _number(name: str, value: float | None) -> float:
    if value is None or not math.isfinite(value):
        raise ValueError(f"Ray Serve says {name} is {value}: no number")
    return max(0.0, value)


def _tell(before: Memory, memory: Memory) -> None:
    """One line per change of what is ordered; Ray Serve makes it a call after the answer, or by itself."""
    was_ours = memory.ordered == before.answer
    reason = before.reason if was_ours else "Ray Serve's own: bounds, or from none to one for a request that waits"
    fields = {
        "from": before.ordered,
        "to": memory.ordered,
        "reason": reason,
        "requests_per_s": round(memory.level, 3),
        "spread_per_s": round(memory.spread, 3),
        "residence_s": round(memory.residence_s, 3),
        "cold_start_s": round(memory.cold_start_s, 1),
    }
    _log.info("replicas from %d to %d: %s", before.ordered, memory.ordered, reason, extra={"scaling": fields})
