"""How many replicas: a pure rule on queue depth, called by Ray Serve about four times a second.

What is to be carried is the rate of requests, not their number: the number swells while replicas start, and would order
them twice. What comes is what replicas took and what is queued more than before. From its rate, the usual spread of it,
and how long a request stays where it is alone follows what a replica carries at the target depth, and what is needed:

    (level + SPREADS · spread + what drains a backlog) / rate of a replica at its target depth

More are ordered at once; those that start count as there. Fewer are ordered once fewer were needed for some cold starts
(measured), `downscale_delay_s` or a pause like one that a queue followed, and only where the rest could have carried
all of that time. Before enough requests were answered to know what a replica carries, outstanding requests over the
target depth are what is needed. While a replica that is up has said nothing, none goes; while all are stale, all stay.

Every number comes from Ray Serve's own fields, none from `policy_kwargs`, whose change would restart all replicas. The
module imports nothing of ours or of Ray's, since Ray Serve pickles it by value. The constants: docs/decisions/0120.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

TAKEN: Final = "requests_taken"
"""The number that each replica reports as `record_autoscaling_stats`: requests taken since it is up."""
TOLD: Final = "told"
"""The last change of what is ordered, in the state that Ray Serve keeps: plain JSON, `at` in seconds since 1970."""

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
HOLD: Final = 5.0
"""Cold starts that what is not needed is held for: what comes back late costs more than what stands by."""
MOST_HOLD_S: Final = 900.0
"""The most of that, the hold while no cold start was measured, and the most of one: longer, there was no machine."""
MOST_PAUSE_S: Final = 3600.0
"""The longest pause of the load that is learned to be held over."""
PAUSES: Final = 1.25
FORGET_S: Final = 86_400.0
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
    total_num_requests: float
    """Requests queued and running; this one and the next are means over the last `look_back_period_s`."""
    total_queued_requests: float | None

    @property
    def raw_metrics(self) -> Mapping[str, Mapping[Any, Any]] | None:
        """Name → replica → points in the order of time, each with `timestamp` and `value`."""


@dataclass(frozen=True)
class Look:
    """What is seen at one time; `taken`: replica → (when it said so by its own clock, requests that it took)."""

    now: float
    outstanding: float
    queued: float
    """Of them, those that no replica took yet."""
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


class Gone(NamedTuple):
    """What was taken away: how many there were, how many were left, and since when these would have done."""

    most: int
    left: int
    since: float


@dataclass(frozen=True)
class Memory:
    """Kept from look to look; rates in requests per second of the whole service."""

    seen: Look
    since: float
    heard: Look
    """The last one in which a replica said something new: what is learned is what came since."""
    answer: int
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
    gone: tuple[Gone, ...] = ()
    returned_s: float = 0.0
    """How long those that start now had not been needed."""
    pause_s: float = 0.0
    """A pause is held over for as long, since what it took away was missed."""
    cause: str = ""
    reason: str = ""


def decide(memory: Memory | None, look: Look) -> Memory:
    """The memory for the next call; its `answer` is the count of replicas to go to, its `reason` says why."""
    if memory is None:
        memory = Memory(look, look.now, look, look.ordered, requests=look.outstanding)
    elif 0 <= look.now - memory.seen.now < LOOK_S:
        return memory
    if look.up and not look.taken:
        return _answered(replace(memory, seen=look), look, *_by_depth(look))
    has_news = any(said != memory.heard.taken.get(name) for name, said in look.taken.items())
    is_silent = look.now - memory.heard.now > STALE_S
    if look.up and is_silent and not has_news:
        answer = look.bounded(look.ordered)
        held = f"{answer} held: what the replicas say is stale"
        return replace(memory, seen=look, answer=answer, below_since=None, cause="Bounds", reason=held)
    if is_silent or not 0 <= look.now - memory.seen.now <= STALE_S:
        memory = _after_a_gap(memory, look)
    if has_news or not look.up:
        memory = replace(_learned(memory, look), heard=look)
    memory = _with_cold_start(_with_pause(memory, look), look)
    if look.ordered != memory.seen.ordered:
        memory = replace(memory, below_since=None, needed=0)
    return _answered(replace(memory, seen=look), look, *_needed(memory, look))


def _after_a_gap(memory: Memory, look: Look) -> Memory:
    """The clock was set, or nobody looked for long: what was learned stays, what was timed begins anew."""
    seen, since = replace(look, ordered=memory.seen.ordered), look.now - (memory.seen.now - memory.since)
    return replace(memory, seen=seen, since=since, heard=look, starting=None, below_since=None, gone=(), returned_s=0.0)


def _learned(memory: Memory, look: Look) -> Memory:
    before, elapsed = memory.heard, look.now - memory.heard.now
    # Of a replica that is first heard it is not known when it took what it counts; one unheard takes from the queue.
    if elapsed <= 0 or not look.taken.keys() <= before.taken.keys():
        return memory
    taken = sum(max(0.0, count - before.taken[name][1]) for name, (_, count) in look.taken.items())
    more_queued = look.queued - before.queued
    if len(look.taken) < look.up:
        more_queued = max(0.0, more_queued)
    arrived = max(0.0, taken + more_queued)
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
        return replace(memory, starting=(look.now, look.ordered)) if look.ordered > memory.seen.ordered else memory
    since, count = memory.starting
    if look.ordered < count:
        return replace(memory, starting=None)
    if look.up < count:
        return memory
    took_s = min(look.now - since, MOST_HOLD_S)
    cold_start_s = (memory.cold_start_s + took_s) / 2 if memory.cold_start_s else took_s
    return replace(memory, starting=None, cold_start_s=cold_start_s)


def _with_pause(memory: Memory, look: Look) -> Memory:
    """What is needed again while requests wait was taken away too early: from now on such a pause is held over."""
    gone = tuple(each for each in memory.gone if look.now - each.since <= MOST_PAUSE_S)
    returned_s = memory.returned_s if look.up < look.ordered else 0.0
    if look.ordered < memory.seen.ordered:
        since = look.now if memory.below_since is None else memory.below_since
        gone = (*gone, Gone(memory.seen.ordered, look.ordered, since))
    elif look.ordered > memory.seen.ordered and gone:
        # A load that is mostly new has not come back.
        if 2 * min(look.ordered, gone[0].most) >= memory.seen.ordered + look.ordered:
            returned_s = max([returned_s, *(look.now - each.since for each in gone if each.left < look.ordered)])
        gone = tuple(each for each in gone if each.most > look.ordered)
    pause_s = memory.pause_s * math.exp((memory.seen.now - look.now) / FORGET_S)
    if look.outstanding > 2 * look.depth * max(look.up, 1):
        pause_s = max(pause_s, PAUSES * returned_s)
    return replace(memory, gone=gone, returned_s=returned_s, pause_s=pause_s)


def _by_depth(look: Look) -> tuple[float, str, str]:
    why = f"{look.outstanding:.1f} outstanding requests, {look.depth:g} per replica"
    return look.outstanding / look.depth, "QueueDepth", why


def _needed(memory: Memory, look: Look) -> tuple[float, str, str]:
    """Replicas, not rounded, and why: in one word, and with the numbers."""
    if look.ordered <= 1 and look.outstanding <= 0:
        return 0.0, "Idle", "idle"
    if memory.residence_s <= 0:
        return _by_depth(look)
    carried = look.depth / (2 * memory.residence_s)
    backlog = max(0.0, look.outstanding - 2 * look.depth * max(look.ordered, 1))
    needed = (memory.level + SPREADS * memory.spread + backlog / (DRAIN_S + memory.cold_start_s)) / carried
    if memory.rate < memory.level and backlog == 0:
        # A fall widens the spread too, and needs nothing.
        needed = min(needed, look.ordered)
    usual = f"{memory.level:.2f} requests/s, usual spread {memory.spread:.2f}"
    return needed, "Rate", f"{usual}, backlog {backlog:.0f}, {carried:.2f} requests/s per replica"


def _answered(memory: Memory, look: Look, needed: float, cause: str, why: str) -> Memory:
    # Ray Serve goes to none from one alone.
    wanted = look.bounded(max(math.ceil(needed - 1e-9), int(look.ordered > 1)))
    current = look.bounded(look.ordered)
    # The spread is a mean of few: under an even load too, what is needed goes up and down by so many replicas.
    chance = SPREADS * memory.spread * math.sqrt(memory.residence_s / SPREAD_S) * 2 * memory.residence_s / look.depth
    if needed > max(0.0, current - 1 - SLACK - chance) or len(look.taken) < look.up:
        answer = wanted if current == 0 or needed > current + chance else current
        verb = f"up to {answer}" if answer > look.ordered else f"{answer} kept"
        return replace(memory, below_since=None, needed=0, answer=answer, cause=cause, reason=f"{verb}: {why}")
    since = look.now if memory.below_since is None else memory.below_since
    most = max(wanted, memory.needed)
    # Ray Serve waits for downscale_delay_s from the first answer on.
    hold_s = max(min(HOLD * memory.cold_start_s or MOST_HOLD_S, MOST_HOLD_S), memory.pause_s)
    is_due = current == 1 or look.now - since >= hold_s - look.down_delay_s
    answer, verb = (most, f"down to {most}") if is_due else (current, f"{current} held, {most} would do")
    return replace(memory, below_since=since, needed=most, answer=answer, cause=cause, reason=f"{verb}: {why}")


def queue_depth(context: Context) -> tuple[int, dict[str, Any]]:
    """Ray Serve's `policy_function`; the second value comes back as `context.policy_state` at the next call.

    Never raises: in Ray Serve's controller that would stop the whole application's updates.
    """
    before, kept = context.policy_state.get("memory"), context.policy_state
    try:
        look = look_of(context)
        kept = {TOLD: kept.get(TOLD)}  # What a look lacks is no reason to forget; what no rule can go on from is.
        memory = decide(before if isinstance(before, Memory) else None, look)
    except Exception as error:  # noqa: BLE001 - whatever it is, the replicas stay, and it is logged once
        fault = f"{type(error).__name__}: {error}"
        if context.policy_state.get("fault") != fault:
            _log.exception("the scaling rule failed, replicas stay at %d", context.target_num_replicas)
        return context.target_num_replicas, {**kept, "fault": fault}
    told = context.policy_state.get(TOLD)
    if isinstance(before, Memory) and before.seen.ordered != memory.seen.ordered:
        told = _told(before, memory)
    return memory.answer, {"memory": memory, TOLD: told}


def look_of(context: Context) -> Look:
    """Raises ValueError where a number is none; what it names is not believed then."""
    reports = (context.raw_metrics or {}).get(TAKEN, {})
    look = Look(
        now=_number("current_time", context.current_time),
        outstanding=_number("total_num_requests", context.total_num_requests),
        queued=_number("total_queued_requests", context.total_queued_requests or 0.0),
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


def _told(before: Memory, memory: Memory) -> dict[str, Any]:
    """One line per change of what is ordered; Ray Serve makes it a call after the answer, or by itself."""
    cause, reason = before.cause, before.reason
    if memory.seen.ordered != before.answer:
        cause, reason = "Bounds", "Ray Serve's own: bounds, or from none to one for a request that waits"
    told = {"from": before.seen.ordered, "to": memory.seen.ordered, "cause": cause, "reason": reason}
    rates = {"requests_per_s": round(memory.level, 3), "spread_per_s": round(memory.spread, 3)}
    times = {"residence_s": memory.residence_s, "cold_start_s": memory.cold_start_s, "pause_s": memory.pause_s}
    fields = told | rates | {name: round(seconds, 3) for name, seconds in times.items()}
    _log.info("replicas from %d to %d: %s", told["from"], told["to"], reason, extra={"scaling": fields})
    return told | {"at": memory.seen.now}
