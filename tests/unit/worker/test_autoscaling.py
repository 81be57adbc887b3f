import json
import logging
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.args import ScalingCause
from llmservice_worker.autoscaling import (
    HOLD,
    MOST_HOLD_S,
    MOST_PAUSE_S,
    PAUSES,
    STALE_S,
    TAKEN,
    TOLD,
    Gone,
    Look,
    Memory,
    decide,
    queue_depth,
)

LOOK = Look(
    now=0.0,
    outstanding=0.0,
    queued=0.0,
    up=1,
    ordered=1,
    depth=4.0,
    least=1,
    most=20,
    down_delay_s=30.0,
    taken={"a": (0.0, 0.0)},
)
RESIDENCE_S = 2.0
"""Of a request alone; among as many others as the target depth it takes twice as long."""


@dataclass
class Service:
    """Replicas that take requests evenly, and as long for each as the rule supposes."""

    ordered: int = 1
    up: int = 1
    depth: float = 4.0
    least: int = 1
    most: int = 20
    down_delay_s: float = 30.0
    cold_start_s: float = 45.0
    now: float = 0.0
    taken: float = 0.0
    ups: list[float] = field(default_factory=list)
    memory: Memory | None = None
    lower_since: float | None = None

    def passes(self, seconds: int, rate: Callable[[int], float] | float) -> list[int]:
        """What is ordered, second by second."""
        found = []
        for second in range(seconds):
            self.now += 1
            now = rate(second) if callable(rate) else rate
            self.taken += now
            self.up += sum(time <= self.now for time in self.ups)
            self.ups = [time for time in self.ups if time > self.now]
            self.memory = decide(self.memory, self.look(now))
            self._order(self.memory.answer)
            found.append(self.ordered)
        return found

    def look(self, rate: float) -> Look:
        """As many outstanding as Little's law says, at most twenty times the target depth."""
        full = 2 * RESIDENCE_S / self.depth * rate / max(self.up, 0.01) / 2
        each = RESIDENCE_S * rate / max(self.up, 0.01) / max(1 - full, 0.05)
        return Look(
            self.now,
            min(each, 20 * self.depth) * max(self.up, 1),
            0.0,
            self.up,
            self.ordered,
            self.depth,
            self.least,
            self.most,
            self.down_delay_s,
            {f"r{index}": (self.now, 0.0 if index else self.taken) for index in range(self.up)},
        )

    def _order(self, count: int) -> None:
        """More at once, fewer after the delay, as Ray Serve does."""
        if count >= self.ordered:
            self.lower_since = None
        elif self.lower_since is None:
            self.lower_since = self.now
        if count < self.ordered and self.now - (self.lower_since or 0.0) < self.down_delay_s:
            return
        self.ups += [self.now + self.cold_start_s] * (count - self.ordered)
        if count < self.ordered:
            self.lower_since = None
            self.ups = self.ups[: max(0, count - self.up)]
            self.up = min(self.up, count)
        self.ordered = count


@pytest.mark.parametrize(
    ("outstanding", "ordered", "wanted"),
    [(0, 1, 0), (1, 1, 1), (4, 1, 1), (5, 1, 2), (9, 2, 3), (1000, 1, 20), (0, 0, 0)],
)
def test_before_a_capacity_is_known_it_is_outstanding_requests_over_the_depth(
    outstanding: float, ordered: int, wanted: int
) -> None:
    assert decide(None, replace(LOOK, outstanding=outstanding, ordered=ordered, least=0)).answer == wanted


def test_a_steady_rate_orders_what_carries_it_and_then_nothing_changes() -> None:
    # At its target depth a replica carries 4 / (2 · 2 s) = 1 request/s.
    service = Service(ordered=5, up=5)
    service.passes(900, 4.5)
    assert set(service.passes(600, 4.5)) == {5}
    assert service.memory is not None
    assert service.memory.residence_s == pytest.approx(RESIDENCE_S, rel=0.1)


def test_a_step_is_ordered_once_and_not_again_while_replicas_start() -> None:
    service = Service(ordered=5, up=5, cold_start_s=120)
    service.passes(1200, 4.5)
    during = service.passes(115, 9.0)
    assert during[30] >= 9
    assert max(during) <= 2 * 9


def test_the_cold_start_is_measured() -> None:
    service = Service(ordered=1, up=1, cold_start_s=77)
    service.passes(900, 0.5)
    service.passes(400, 5.0)
    assert service.memory is not None
    assert service.memory.cold_start_s == pytest.approx(77, abs=2)


def test_hours_without_a_machine_are_no_cold_start() -> None:
    service = Service(ordered=1, up=1, cold_start_s=7200)
    service.passes(900, 0.5)
    service.passes(8000, 5.0)
    assert service.memory is not None
    assert service.memory.cold_start_s == MOST_HOLD_S


def test_down_is_answered_once_fewer_were_needed_for_some_cold_starts() -> None:
    service = Service(ordered=1, up=1, cold_start_s=100, down_delay_s=30)
    service.passes(900, 0.5)
    service.passes(1500, 6.0)
    before = service.ordered
    falling = service.passes(1200, 0.5)
    first = next(second for second, count in enumerate(falling) if count < before)
    assert 95 * HOLD <= first < 200 * HOLD
    assert falling[-1] < before


def test_while_no_cold_start_was_measured_it_is_taken_for_a_long_one() -> None:
    service = Service(ordered=7, up=7)
    service.passes(900, 6.0)
    falling = service.passes(int(MOST_HOLD_S) + 300, 0.5)
    assert falling[int(MOST_HOLD_S) - 60] == 7
    assert falling[-1] < 7


def test_a_fall_orders_nothing() -> None:
    service = Service(ordered=7, up=7)
    service.passes(900, 6.0)
    before = service.ordered
    assert max(service.passes(1800, 0.5)) == before
    assert service.ordered < before


def after_two_bursts(pause_s: int) -> Service:
    """At the end of the second burst, `pause_s` after the first."""
    service = Service(cold_start_s=45)
    service.passes(900, 0.5)
    service.passes(300, 12.0)
    service.passes(pause_s, 0.5)
    service.passes(300, 12.0)
    return service


def test_a_pause_that_took_away_what_was_missed_is_held_over_the_next_time() -> None:
    service = after_two_bursts(1800)
    assert service.memory is not None
    assert 1200 * PAUSES < service.memory.pause_s < 2000 * PAUSES
    before = service.ordered
    assert set(service.passes(1800, 0.5)) == {before}
    assert service.passes(1800, 0.5)[-1] < before


def test_a_pause_of_hours_is_not_held_over() -> None:
    memory = after_two_bursts(2 * int(MOST_PAUSE_S)).memory
    assert memory is not None
    assert memory.pause_s == 0


@pytest.mark.parametrize(
    ("outstanding", "ago_s", "pause_s"),
    [(41.0, 600.0, 600 * PAUSES), (39.0, 600.0, 0.0), (41.0, MOST_PAUSE_S + 60, 0.0)],
)
def test_what_was_taken_away_was_missed_where_requests_wait_for_it(
    outstanding: float, ago_s: float, pause_s: float
) -> None:
    # Of seven two went; five that are up have room for twice their target depth of four each.
    memory, look = steady()
    memory = replace(memory, gone=(Gone(7, 5, look.now - ago_s),))
    found = decide(memory, replace(look, ordered=7, outstanding=outstanding))
    assert found.pause_s == pytest.approx(pause_s)


def test_a_load_that_is_mostly_new_has_not_come_back() -> None:
    service = Service(cold_start_s=45)
    service.passes(900, 0.5)
    service.passes(300, 2.5)
    service.passes(1200, 0.5)
    fewer = service.ordered
    service.passes(120, 15.0)
    assert service.ordered > 4 * fewer
    assert service.memory is not None
    assert service.memory.pause_s == 0


def test_a_pause_is_forgotten_in_days() -> None:
    memory, look = steady(pause_s=2000.0)
    for second in range(0, 3600, 10):
        now = look.now + second
        memory = decide(memory, replace(look, now=now, taken=dict.fromkeys(look.taken, (now, 0.0))))
    assert memory.pause_s == pytest.approx(2000 * math.exp(-1 / 24), rel=0.001)


def steady(**changed: Any) -> tuple[Memory, Look]:
    """Five replicas at 4.5 requests/s, each of which carries one; and the look that follows."""
    service = Service(ordered=5, up=5)
    service.passes(1800, 4.5)
    assert service.memory is not None
    memory = replace(service.memory, residence_s=RESIDENCE_S, requests=0.0, stays_s=0.0, **changed)
    service.now += 1
    service.taken += 4.5
    return memory, service.look(4.5)


@pytest.mark.parametrize(("cold_start_s", "wanted"), [(0.0, 15), (40.0, 11), (240.0, 7)])
def test_a_backlog_is_drained_over_the_time_that_more_take_to_come(cold_start_s: float, wanted: int) -> None:
    # 600 over twice the target depth of five: 10 requests/s in a minute, 6 in 100 s, 2 in 300 s; and 4.5 that come.
    memory, look = steady(cold_start_s=cold_start_s)
    assert decide(memory, replace(look, outstanding=2 * 4 * 5 + 600)).answer == wanted


@pytest.mark.parametrize(
    ("level", "answer", "why"),
    [
        # Four spreads of 0.25, a mean of 300 s of a rate that is felt for 2 s: 4 · 0.25 · √(2 / 300) = 0.08 by chance.
        (4.05, 5, "5 kept"),
        (4.12, 6, "up to 6"),
        (2.66, 5, "5 kept"),
        (2.58, 5, "5 held, 4 would do"),
    ],
)
def test_what_is_needed_by_chance_changes_nothing(level: float, answer: int, why: str) -> None:
    memory, look = steady(spread=0.25)
    memory = replace(memory, level=level, rate=level + 0.001)
    taken = {name: (look.now, memory.seen.taken[name][1]) for name in look.taken}
    found = decide(memory, replace(look, taken={**taken, "r0": (look.now, taken["r0"][1] + level)}))
    assert (found.answer, found.reason.partition(":")[0]) == (answer, why)


@pytest.mark.parametrize(
    ("taken", "queued", "rate"),
    [
        pytest.param(8.0, 12.0, 10.0, id="what waits has come too"),
        pytest.param(40.0, -20.0, 10.0, id="what waited before has not come now"),
        pytest.param(0.0, -20.0, 0.0, id="who gave up has not come"),
    ],
)
def test_what_comes_is_what_is_taken_and_what_is_queued_more(taken: float, queued: float, rate: float) -> None:
    first = decide(None, replace(LOOK, taken={"a": (0.0, 900.0)}, queued=30.0))
    second = decide(first, replace(LOOK, now=2.0, taken={"a": (2.0, 900.0 + taken)}, queued=30.0 + queued))
    assert second.rate == pytest.approx(rate)


def test_a_replica_that_is_up_and_not_heard_takes_what_the_queue_has_less() -> None:
    first = decide(None, replace(LOOK, taken={"a": (0.0, 900.0)}, queued=30.0))
    second = decide(first, replace(LOOK, now=2.0, up=2, taken={"a": (2.0, 904.0)}, queued=10.0))
    assert second.rate == pytest.approx(2.0)


def test_bursts_keep_more_than_an_even_rate_of_the_same_mean() -> None:
    even, bursty = Service(), Service()
    even.passes(1800, 3.0)
    bursty.passes(1800, lambda second: 30.0 if second % 10 == 0 else 0.0)
    assert bursty.ordered > even.ordered


def test_the_last_replica_goes_only_when_idle() -> None:
    assert decide(None, replace(LOOK, least=0, ordered=1, outstanding=0.01)).answer == 1
    assert decide(None, replace(LOOK, least=0, ordered=1, outstanding=0)).answer == 0
    two = {"a": (0.0, 0.0), "b": (0.0, 0.0)}
    two_left = decide(None, replace(LOOK, least=0, ordered=2, up=2, outstanding=0, taken=two))
    assert two_left.answer == 2
    later = replace(LOOK, now=10.0, least=0, ordered=2, up=2, outstanding=0, taken=two)
    assert decide(replace(two_left, cold_start_s=2.0), later).answer == 1, "Ray Serve goes to none from one alone"


def test_stale_counts_hold_what_is_ordered() -> None:
    service = Service(ordered=3, up=3)
    service.passes(200, 2.0)
    assert service.memory is not None
    service.memory = replace(service.memory, seen=replace(service.memory.seen, ordered=3))
    silent = replace(service.look(0.0), ordered=3, outstanding=0.0, least=0)
    memory = service.memory
    for second in range(int(STALE_S) + 2):
        memory = decide(memory, replace(silent, now=service.now + second))
    assert (memory.answer, memory.reason) == (3, "3 held: what the replicas say is stale")
    assert decide(memory, replace(silent, now=service.now + 60, least=5)).answer == 5
    # What was taken meanwhile was not taken in the second in which it is heard of.
    again = replace(
        silent, now=service.now + 61, taken={"r0": (service.now + 61, service.taken + 120)}, up=1, ordered=1
    )
    assert decide(memory, again).level == pytest.approx(memory.level)


@pytest.mark.parametrize("seconds", [1, 3, 12])
@pytest.mark.parametrize("is_heard", [True, False])
def test_what_came_in_a_silence_did_not_come_in_its_last_second(seconds: int, is_heard: bool) -> None:
    service = Service(depth=16.0)
    service.passes(900, 2.0)
    assert service.memory is not None
    memory, before, silent = service.memory, service.ordered, service.look(2.0)
    for second in range(1, seconds):
        now = service.now + second
        memory = decide(memory, replace(silent, now=now, taken=silent.taken if is_heard else {}))
    service.now += seconds
    service.taken += 2.0 * seconds
    memory = decide(memory, service.look(2.0))
    assert memory.rate == pytest.approx(2.0)
    assert memory.level == pytest.approx(service.memory.level)
    assert memory.answer == before


def test_without_a_word_of_any_replica_none_goes_and_more_come_by_queue_depth() -> None:
    memory = decide(None, replace(LOOK, ordered=7, up=7, outstanding=0.0, taken={}))
    assert (memory.answer, memory.reason) == (7, "7 kept: 0.0 outstanding requests, 4 per replica")
    assert decide(memory, replace(LOOK, now=2.0, ordered=7, up=7, outstanding=40.0, taken={})).answer == 10


def test_while_one_replica_says_nothing_more_may_come_and_none_goes() -> None:
    partly = replace(LOOK, ordered=3, up=3, taken={"a": (0.0, 5.0), "b": (0.0, 5.0)})
    assert decide(None, replace(partly, outstanding=1)).answer == 3
    assert decide(None, replace(partly, outstanding=40)).answer == 10


def test_a_replica_counts_from_when_it_is_first_heard() -> None:
    first = decide(None, replace(LOOK, taken={"a": (0.0, 900.0)}))
    second = decide(first, replace(LOOK, now=2.0, up=2, taken={"a": (2.0, 904.0), "late": (2.0, 1e6)}))
    assert second.rate == first.rate
    third = decide(second, replace(LOOK, now=4.0, up=2, taken={"a": (4.0, 904.0), "late": (4.0, 1e6 + 8)}))
    assert first.rate < third.rate < 4.0


def test_a_replica_that_is_gone_or_begins_anew_takes_nothing_away() -> None:
    first = decide(None, replace(LOOK, taken={"a": (0.0, 900.0), "b": (0.0, 50.0)}))
    assert decide(first, replace(LOOK, now=2.0, taken={"a": (2.0, 3.0)})).rate == 0.0


@pytest.mark.parametrize("jump_s", [-7200.0, -3.0, 7200.0])
def test_a_clock_that_is_set_changes_nothing_that_was_learned(jump_s: float) -> None:
    service = Service(ordered=5, up=5)
    service.passes(900, 4.5)
    before = service.memory
    assert before is not None
    service.now += jump_s
    assert set(service.passes(120, 4.5)) == {5}
    assert service.memory is not None
    assert service.memory.level == pytest.approx(before.level, rel=0.1)


def test_one_request_after_an_idle_hour_is_no_wave() -> None:
    service = Service()
    service.passes(1800, 1.5)
    service.passes(3600, 0.0)
    assert service.ordered == 1
    assert set(service.passes(120, lambda second: float(second == 5))) == {1}


def test_a_wave_after_an_idle_hour_is_followed() -> None:
    service = Service()
    service.passes(3600, 0.0)
    assert service.passes(120, 3.0)[-1] >= 3


def test_the_hold_for_a_cold_start_has_an_end() -> None:
    service = Service(cold_start_s=1)
    service.passes(900, 3.0)
    assert service.memory is not None
    before = service.ordered
    service.memory = replace(service.memory, cold_start_s=1e6, starting=None)
    falling = service.passes(int(MOST_HOLD_S) + 600, 0.5)
    assert falling[int(MOST_HOLD_S) - 60] == before
    assert falling[-1] < before


def test_between_looks_the_last_answer_stands() -> None:
    memory = decide(None, LOOK)
    assert decide(memory, replace(LOOK, now=0.5, outstanding=99)) is memory


def test_every_answer_has_its_reason() -> None:
    service = Service(ordered=4, up=4)
    service.passes(2, 3.0)
    assert service.memory is not None
    assert "outstanding requests, 4 per replica" in service.memory.reason
    service.passes(200, 3.0)
    assert "requests/s per replica" in service.memory.reason


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(1, 60)), min_size=1, max_size=6),
    st.integers(0, 3),
    st.integers(3, 8),
    st.floats(1, 500),
)
def test_it_stays_in_bounds(phases: list[tuple[float, int]], least: int, most: int, cold_start_s: float) -> None:
    service = Service(least=least, most=most, cold_start_s=cold_start_s)
    found = [count for rate, seconds in phases for count in service.passes(seconds, rate)]
    assert all(least <= count <= most for count in found)


def reports(**taken: float) -> dict[str, dict[str, list[Any]]]:
    """As Ray Serve keeps them: the last two points of each replica."""
    return {
        TAKEN: {
            name: [SimpleNamespace(timestamp=99.0, value=0.0), SimpleNamespace(timestamp=99.5, value=count)]
            for name, count in taken.items()
        }
    }


@dataclass
class Context:
    """What Ray Serve hands over."""

    config: Any = field(default_factory=lambda: SimpleNamespace(target_ongoing_requests=4, downscale_delay_s=30.0))
    current_num_replicas: int = 1
    target_num_replicas: int = 1
    capacity_adjusted_min_replicas: int = 0
    capacity_adjusted_max_replicas: int = 5
    total_num_requests: float = 20.0
    total_queued_requests: float | None = None
    current_time: float | None = 100.0
    raw_metrics: Any = field(default_factory=lambda: reports(r1=1.0))
    policy_state: dict[str, Any] = field(default_factory=dict)


def test_ray_serve_keeps_the_memory_from_call_to_call() -> None:
    count, state = queue_depth(Context(total_num_requests=9, raw_metrics={TAKEN: {**reports(r1=7.0)[TAKEN], "r2": []}}))
    assert count == 3
    assert state["memory"].seen.taken == {"r1": (99.5, 7.0)}
    assert queue_depth(Context(policy_state=state, current_time=100.2))[0] == 3
    assert queue_depth(Context())[0] == 5


@pytest.mark.parametrize("raw_metrics", [None, {}, {TAKEN: {}}, {"other": {"r1": []}}])
def test_before_ray_serve_has_counts_none_goes(raw_metrics: Any) -> None:
    assert queue_depth(Context(target_num_replicas=3, total_num_requests=0.0, raw_metrics=raw_metrics))[0] == 3
    assert queue_depth(Context(raw_metrics=raw_metrics))[0] == 5


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (Context(total_num_requests=math.nan), "total_num_requests is nan"),
        (Context(total_num_requests=math.inf), "total_num_requests is inf"),
        (Context(current_time=None), "current_time is None"),
        (Context(raw_metrics=reports(r1=math.nan)), "requests_taken is nan"),
        (Context(config=SimpleNamespace(target_ongoing_requests=0, downscale_delay_s=1)), "target_ongoing_requests is"),
        (Context(config=SimpleNamespace()), "no attribute"),
        (Context(policy_state={"memory": Memory.__new__(Memory)}), "no attribute"),
    ],
)
def test_it_never_raises_holds_what_is_ordered_and_says_so_once(
    context: Context, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    context.target_num_replicas = 3
    count, state = queue_depth(context)
    assert count == 3
    assert said in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    context.policy_state = {**context.policy_state, **state}
    queue_depth(context)
    assert len(caplog.records) == 1
    assert "memory" in queue_depth(Context(policy_state=state))[1]


def test_a_look_that_lacks_a_number_forgets_nothing() -> None:
    _, state = queue_depth(Context())
    assert queue_depth(Context(current_time=None, policy_state=state))[1]["memory"] == state["memory"]


def test_negative_numbers_are_none() -> None:
    assert queue_depth(Context(total_num_requests=-5.0, raw_metrics=reports(r1=-1.0)))[0] == 0


@pytest.mark.parametrize("kept", [{"decision_counter": 3}, {"memory": None}, {"memory": {"count": 2}}])
def test_state_of_another_hand_does_no_harm(kept: dict[str, Any]) -> None:
    assert queue_depth(Context(policy_state=kept))[0] == 5


def test_the_memory_can_be_pickled() -> None:
    _, state = queue_depth(Context())
    assert pickle.loads(pickle.dumps(state)) == state


def test_each_change_of_what_is_ordered_is_logged_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _, state = queue_depth(Context())
    assert caplog.records == []
    for time in (101.5, 103.0, 104.5):
        _, state = queue_depth(Context(target_num_replicas=5, current_time=time, policy_state=state))
    [record] = caplog.records
    assert record.name.startswith("ray.serve.")
    assert record.getMessage() == "replicas from 1 to 5: up to 5: 20.0 outstanding requests, 4 per replica"
    scaling = vars(record)["scaling"]
    assert (scaling["from"], scaling["to"], scaling["reason"]) == (1, 5, record.getMessage().partition(": ")[2])
    told = {name: scaling[name] for name in ("from", "to", "cause", "reason")}
    assert state[TOLD] == told | {"at": 101.5}, "it stays as it was told"
    assert json.loads(json.dumps(state[TOLD])) == state[TOLD]


def test_each_cause_is_one_that_the_operator_knows() -> None:
    service = Service(least=0)
    seen = {service.memory.cause for rate in (0.0, 3.0, 0.0) for _ in service.passes(600, rate) if service.memory}
    service.passes(1, 3.0)
    assert service.memory is not None
    silent = replace(service.look(3.0), now=service.now + STALE_S + 1)
    seen.add(decide(service.memory, replace(silent, taken=service.memory.seen.taken)).cause)
    unheard = replace(service.look(3.0), now=service.now + 2, taken={})
    seen.add(decide(service.memory, unheard).cause)
    assert seen == set(get_args(ScalingCause))


def test_a_change_that_is_not_its_own_is_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _, state = queue_depth(Context())
    _, state = queue_depth(Context(target_num_replicas=2, current_time=101.5, policy_state=state))
    assert "from 1 to 2: Ray Serve's own" in caplog.text
    assert state[TOLD]["cause"] == "Bounds"
