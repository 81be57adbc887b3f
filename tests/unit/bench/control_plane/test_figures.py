"""From the audit log to figures."""

from typing import Any

import pytest

from tests.bench.control_plane.figures import CHILDREN, per_service, quantile, rate, summary, traffic, waits
from tests.chaos.operator.audit import Write


def write(plural: str, at: float, name: str = "s1", user: str = "ours", code: int = 201, part: str = "") -> Write:
    """A write that came in when it was answered."""
    return Write(user, "patch", plural, part, "ns", name, code, at, at)


ARRIVED = [write("llmservices", 10, user="load"), write("llmservices", 11, "s2", "load")]
MADE = [write(plural, 12 + number, "s1-abc") for number, plural in enumerate(CHILDREN)]


def test_a_service_waits_until_the_last_child_is_made() -> None:
    assert waits([*ARRIVED, *MADE], "ours", len(CHILDREN)) == {("ns", "s1"): 5}
    assert waits([*ARRIVED, *MADE], "other", len(CHILDREN)) == {}
    assert waits([*ARRIVED, *MADE[1:]], "ours", len(CHILDREN)) == {}


def test_the_rate_is_from_the_first_arrival_to_the_last_child() -> None:
    assert rate([*ARRIVED, *MADE], "ours", 10) == 2
    assert traffic([*ARRIVED, *MADE]) == 1.2


@pytest.mark.parametrize(("part", "found"), [(0.5, 2), (0.99, 4), (0, 1), (1, 4)])
def test_quantiles(part: float, found: int) -> None:
    assert quantile([4, 1, 3, 2], part) == found


def test_what_is_written_for_each_service() -> None:
    written = [*MADE, write("llmservices", 20, part="status", code=200), write("events", 20)]
    found = per_service(written, 2)
    assert found == {"children_per_service": 2, "writes_per_service": 2.5, "events_per_service": 0.5}


def test_the_summary_compares_what_was_run() -> None:
    first = {"rate": 40.0, "p50_ms_at_1": 1, "p99_ms_at_1": 2, "idle_writes": 0}
    last = {"rate": 30.0, "rss_mb": 9, "restart_s": 8, "children_per_service": 4, "writes_per_service": 6}
    ours = {1000: first | last | {"rate": 40.0}, 10000: last | {"restart_writes": 0}}
    other = {1000: {"rate": 50.0}, 10000: {"rate": 60.0}}
    go = {1000: {"rate": 20.0, "p99_ms_at_1": 4}}
    found = summary({"ours": ours, "floor": other, "naive": other, "go": go})
    ratios = ("floor_ratio_1000", "rate_over_naive_10000", "rate_10000_over_1000", "rate_over_go_1000", "p99_over_go")
    assert [found[name] for name in ratios] == [0.8, 0.5, 0.75, 2, 0.5]
    assert (found["rss_mb_10000"], found["restart_s_10000"], found["restart_writes"]) == (9, 8, 0)


def test_what_was_not_measured_is_not_in_the_summary() -> None:
    ours: dict[int, dict[str, Any]] = {100: {"rate": 40.0}, 300: {"failed": "TimeoutError"}}
    found = summary({"ours": ours, "floor": {100: {"rate": 50.0}, 300: {"rate": 50.0}}, "naive": {}, "go": {}})
    assert found == {"floor_ratio_100": 0.8}
