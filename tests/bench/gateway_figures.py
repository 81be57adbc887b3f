"""From the runs of all rounds to figures: what a gateway adds to the mock asked directly, and ratios round by round."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from tests.bench.gateway_asking import Run
from tests.bench.gateway_cells import CROWD, LATENCY, THROUGHPUT, UNARY

Json = dict[str, Any]
Runs = Mapping[tuple[str, str], Sequence[Run]]

DIRECT: Final = "direct"
OURS: Final = "ours"
HAPROXY: Final = "haproxy"
_LATENCIES: Final = ("p50_us", "p99_us")
_OF_STREAMS: Final = ("first_p50_us", "first_p99_us", "gap_p99_us", "transit_p50_us", "transit_p99_us")
PEERS: Final = ("litellm", "vllm-router", "smg")


def added(runs: Runs, target: str, cell: str, field: str) -> float:
    """Median over the rounds of what the target adds to `field` (microseconds) of the same round asked directly.

    At the crowd a slow peer has fewer rounds than the mock asked directly.
    """
    pairs = zip(runs[target, cell], runs[DIRECT, cell], strict=False)
    return float(median(getattr(its, field) - getattr(direct, field) for its, direct in pairs))


def over(runs: Runs, one: str, other: str, cell: str) -> float:
    """Median over the rounds of one's requests/s over the other's."""
    return median(its.rps / theirs.rps for its, theirs in zip(runs[one, cell], runs[other, cell], strict=True))


def added_over(runs: Runs, one: str, other: str, cell: str) -> float:
    """Median over the rounds of the median latency that one adds over what the other adds."""
    rounds = zip(runs[one, cell], runs[other, cell], runs[DIRECT, cell], strict=True)
    return median((its.p50_us - direct.p50_us) / (theirs.p50_us - direct.p50_us) for its, theirs, direct in rounds)


def best_peer(runs: Runs) -> str:
    """The peer with the most requests/s."""
    asked = [peer for peer in PEERS if (peer, THROUGHPUT) in runs]
    return max(asked, key=lambda peer: median(run.rps for run in runs[peer, THROUGHPUT]))


def headline(runs: Runs) -> Json:
    """The figures that have bounds to reach."""
    best = best_peer(runs)
    return {
        "added_p50_over_haproxy": round(added_over(runs, OURS, HAPROXY, LATENCY), 2),
        "rps_over_haproxy": round(over(runs, OURS, HAPROXY, THROUGHPUT), 3),
        "rps_over_best_peer": round(over(runs, OURS, best, THROUGHPUT), 2),
        "best_peer": best,
        "rps_over_litellm": round(over(runs, OURS, "litellm", THROUGHPUT), 1),
        "lost_events_512": sum(run.lost for run in runs[OURS, CROWD]),
        "errors": sum(run.errors for run in runs[OURS, THROUGHPUT]),
    }


def by_cell(runs: Runs) -> Json:
    """For each target and cell the medians of the rounds; times in microseconds."""
    return {f"{target}.{cell}": _figures(runs, target, cell) for target, cell in sorted(runs)}


def _figures(runs: Runs, target: str, cell: str) -> Json:
    rounds = runs[target, cell]
    found: Json = {"cpu_us": _median(rounds, "cpu_us"), "errors": sum(run.errors for run in rounds)}
    if cell in UNARY:
        found |= {field: _median(rounds, field) for field in ("rps", *_LATENCIES)}
    else:
        found |= {"lost_events": sum(run.lost for run in rounds), "whole": sum(run.whole for run in rounds)}
        found |= {"streams": sum(run.streams for run in rounds)}
    if target != DIRECT:
        fields = _LATENCIES if cell in UNARY else _OF_STREAMS
        found |= {f"added_{field}": round(added(runs, target, cell, field), 1) for field in fields}
    return found


def _median(rounds: Sequence[Run], field: str) -> float:
    return round(float(median(getattr(run, field) for run in rounds)), 1)
