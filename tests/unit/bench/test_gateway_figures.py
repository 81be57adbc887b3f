"""What the figures of bench-gateway make of its runs."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from hack.cluster.failure import ClusterError
from tests.bench.gateway import chosen
from tests.bench.gateway_asking import Ask, Run
from tests.bench.gateway_cells import CELLS, CROWD, FULL, LATENCY, THROUGHPUT, rotated
from tests.bench.gateway_figures import added, best_peer, by_cell, headline
from tests.bench.gateway_routable import p99
from tests.bench.gateway_target import Target

NOTHING = Run(
    **dict.fromkeys((name for name in Run.__dataclass_fields__ if name not in ("first_error", "cpu_us", "busy")), 0),
    first_error="",
)


def run(**fields: Any) -> Run:
    return replace(NOTHING, **fields)


RUNS = {
    ("direct", LATENCY): [run(p50_us=20), run(p50_us=30)],
    ("haproxy", LATENCY): [run(p50_us=70), run(p50_us=80)],
    ("ours", LATENCY): [run(p50_us=95), run(p50_us=105)],
    ("haproxy", THROUGHPUT): [run(rps=1000), run(rps=500)],
    ("ours", THROUGHPUT): [run(rps=800), run(rps=300, errors=2)],
    ("smg", THROUGHPUT): [run(rps=100), run(rps=50)],
    ("vllm-router", THROUGHPUT): [run(rps=90), run(rps=70)],
    ("litellm", THROUGHPUT): [run(rps=4), run(rps=2)],
    ("direct", CROWD): [run(streams=512), run(streams=512)],
    ("ours", CROWD): [run(lost=0), run(lost=3)],
}


def test_ratios_are_of_each_round_and_what_is_lost_is_summed() -> None:
    assert headline(RUNS) == {
        "added_p50_over_haproxy": 1.5,
        "rps_over_haproxy": 0.7,
        "rps_over_best_peer": 6.59,
        "best_peer": "vllm-router",
        "rps_over_litellm": 175.0,
        "lost_events_512": 3,
        "errors": 2,
    }


def test_what_is_added_is_over_the_same_round_asked_directly() -> None:
    assert added(RUNS, "haproxy", LATENCY, "p50_us") == 50
    cells = by_cell({key: runs for key, runs in RUNS.items() if key[1] != THROUGHPUT})
    assert cells[f"ours.{LATENCY}"]["added_p50_us"] == 75
    assert cells[f"ours.{CROWD}"]["lost_events"] == 3
    assert not any(name.startswith("added") for name in cells[f"direct.{CROWD}"])


def test_a_peer_that_was_not_asked_is_not_the_best() -> None:
    assert best_peer({key: runs for key, runs in RUNS.items() if key[0] != "vllm-router"}) == "smg"


def test_each_round_begins_with_another_target() -> None:
    targets = [Target(name, "") for name in ("a", "b", "c")]
    assert ["".join(each.name for each in rotated(targets, turn)) for turn in range(4)] == ["abc", "bca", "cab", "abc"]


def test_the_cells_are_every_size_delay_and_number_at_once() -> None:
    assert len(CELLS) == 2 * 2 * 2 + 3
    assert asdict(CELLS["32k_20ms_32"]) == asdict(Ask(body=32768, delay=20, at_once=32))


@pytest.mark.parametrize(
    ("environment", "rounds", "crowds"),
    [({}, FULL.rounds, 3), ({"ROUNDS": "2"}, 2, 2), ({"QUICK": "1"}, 2, 1), ({"QUICK": "0", "ROUNDS": "9"}, 9, 3)],
)
def test_rounds_are_as_the_environment_says(environment: dict[str, str], rounds: int, crowds: int) -> None:
    schedule, _ = chosen(environment)
    assert (schedule.rounds, schedule.crowds) == (rounds, crowds)


@pytest.mark.parametrize("text", ["0", "many", "-1", "1.5"])
def test_other_rounds_are_refused(text: str) -> None:
    with pytest.raises(ClusterError, match="ROUNDS must be"):
        chosen({"ROUNDS": text})


def test_p99_of_few_is_the_largest() -> None:
    assert (p99([0.1, 0.3, 0.2]), p99([float(each) for each in range(100)])) == (0.3, 99.0)
