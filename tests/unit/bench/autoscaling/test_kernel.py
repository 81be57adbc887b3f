"""The model of an engine against times worked out by hand."""

import numpy as np
import pytest

from tests.bench.autoscaling import kernel
from tests.bench.autoscaling.fleet import BUSY, CONTEXT, FINISHED, OUTPUTS, PROMPTS, QUEUED, RUNNING, WAITING, Fleet
from tests.unit.bench.autoscaling.fleets import PLAIN, STEP_S, fleet


def times(fleet: Fleet) -> list[tuple[float, float]]:
    """(first token, last token) of each request, in plain steps, once all that arrived was answered."""
    fleet.advance(fleet.workload.seconds)
    return shown(fleet)


def shown(fleet: Fleet) -> list[tuple[float, float]]:
    """The same, of what was answered by now."""
    pairs = zip(fleet.requests.first.tolist(), fleet.requests.finish.tolist(), strict=True)
    return [(round(first / STEP_S, 6), round(finish / STEP_S, 6)) for first, finish in pairs]


def test_the_first_token_comes_with_the_step_that_reads_the_prompt_and_one_with_each_step_after() -> None:
    assert times(fleet((1.0, 50, 3))) == [(9, 11)]


def test_an_answer_of_one_token_ends_with_its_first() -> None:
    assert times(fleet((1.0, 50, 1))) == [(9, 9)]


def test_a_long_prompt_is_read_in_chunks_of_the_budget() -> None:
    assert times(fleet((0.0, 250, 1))) == [(3, 3)]


def test_what_decodes_takes_its_share_of_the_budget_first() -> None:
    # The second prompt arrives as the first decodes: 99 of its tokens in step 2, the last one in step 3.
    assert times(fleet((0.0, 10, 9), (0.05, 100, 1))) == [(1, 9), (3, 3)]


def test_prompts_are_read_in_the_order_of_arrival() -> None:
    assert times(fleet((0.0, 100, 1), (0.0, 60, 1), (0.0, 60, 1))) == [(1, 1), (2, 2), (3, 3)]


def test_a_request_waits_for_the_step_that_runs() -> None:
    assert times(fleet((0.0, 10, 5), (0.21, 10, 1)))[1] == (3, 3)


@pytest.mark.parametrize(
    ("engine", "last"),
    [
        (PLAIN._replace(sequence_s=0.01), STEP_S + 2 * (STEP_S + 0.01)),
        (PLAIN._replace(prompt_s=0.001), STEP_S + 0.05 + 2 * STEP_S),
        (PLAIN._replace(attention_s=1e-4), STEP_S + 1e-4 * 50 * 25 + 2 * STEP_S),
        (PLAIN._replace(context_s=0.001), STEP_S + (STEP_S + 0.051) + (STEP_S + 0.052)),
    ],
)
def test_what_each_part_of_a_step_costs(engine: kernel.Engine, last: float) -> None:
    assert times(fleet((0.0, 50, 3), engine=engine))[0][1] == pytest.approx(last / STEP_S)


def test_long_prompts_are_dearer_by_their_context_however_they_are_cut() -> None:
    whole = fleet((0.0, 300, 1), engine=PLAIN._replace(budget=300, step_s=0.0, attention_s=1e-5))
    cut = fleet((0.0, 300, 1), engine=PLAIN._replace(budget=100, step_s=0.0, attention_s=1e-5))
    assert times(whole) == times(cut) == [(3.6, 3.6)]


def test_seats() -> None:
    found = times(fleet(*[(0.0, 1, 3)] * 5))
    assert found[3] == (1, 3)
    assert found[4] == (4, 6)


def test_the_cache_lets_a_request_in_when_its_whole_length_has_room() -> None:
    small = PLAIN._replace(cache=100)
    assert times(fleet((0.0, 50, 10), (0.0, 30, 10), (0.0, 1, 1), engine=small)) == [(1, 10), (1, 10), (11, 11)]


def test_one_that_is_larger_than_the_cache_runs_alone() -> None:
    small = PLAIN._replace(cache=40)
    assert times(fleet((0.0, 50, 2), (0.0, 10, 1), engine=small)) == [(1, 2), (3, 3)]


def test_coasting_is_what_stepping_is() -> None:
    """Steps that only decode are counted in a loop of their own."""
    engine = PLAIN._replace(sequence_s=1e-3, context_s=1e-4, prompt_s=1e-4)
    requests = [(0.0, 40, 20), (0.02, 50, 7), (0.9, 90, 11), (2.5, 10, 1)]
    coasted, stepped = fleet(*requests, engine=engine), fleet(*requests, engine=engine)
    expected = times(coasted)
    for tick in range(1, 1000):
        # Too short a time to coast through more than one step.
        kernel.advance(engine, stepped.requests, stepped.places, (tick - 1) / 100, tick / 100)
    assert shown(stepped) == expected
    assert coasted.now(OUTPUTS) == 20 + 7 + 11 + 1
    assert coasted.now(BUSY) == pytest.approx(float(stepped.places.busy[0]))


def test_what_a_fleet_shows() -> None:
    seen = fleet(*[(0.0, 30, 25)] * 10)
    seen.advance(1)
    # Four seats; eight may be at the replica, two wait at the router.
    assert [seen.now(column) for column in (RUNNING, WAITING, QUEUED, FINISHED)] == [4, 4, 2, 0]
    # Step 1 reads three and a part of the fourth, step 2 the rest of it; there were 8.
    assert seen.now(PROMPTS) == 120
    assert seen.now(OUTPUTS) == 3 * 8 + 7
    assert seen.now(CONTEXT) == 3 * (30 + 8) + (30 + 7)


def test_one_that_is_half_read_counts_once() -> None:
    seen = fleet((0.0, 5000, 2))
    seen.advance(1)
    assert (seen.now(RUNNING), seen.now(WAITING)) == (1, 0)


def test_requests_go_to_the_less_busy_of_two() -> None:
    busy = fleet(*[(0.0, 1, 90)] * 3)
    busy.advance(1)
    busy.places.phase[1] = kernel.UP
    found = [kernel.chosen(PLAIN, busy.places, number) for number in range(100)]
    assert found == [max(kernel.spread(2 * number, 2), kernel.spread(2 * number + 1, 2)) for number in range(100)]
    assert set(found) == {0, 1}


def test_the_choice_of_two_is_even() -> None:
    counts = np.bincount([kernel.spread(number, 7) for number in range(7000)])
    assert counts.min() > 900
    assert counts.max() < 1100


def test_who_is_full_is_passed_over() -> None:
    full = fleet(*[(0.0, 1, 90)] * 17, engine=PLAIN._replace(seats=8), replicas=2)
    full.advance(1)
    assert full.places.seated[:2].tolist() == [8, 8]
    assert full.now(QUEUED) == 1
