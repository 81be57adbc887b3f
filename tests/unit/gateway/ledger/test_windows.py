"""Windows of budgets, where a day, a month, a year or a clock ends."""

from datetime import datetime

import pytest

from llmservice_gateway.ledger.windows import DAY, Window, bounded, end, start
from llmservice_gateway.objects import NEVER


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "at", "began", "ends"),
    [
        ("Day", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("Day", "2026-03-01T23:59:59.999Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("Day", "2026-03-02T01:30:00+02:00", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("Month", "2026-02-28T23:59:59.999Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("Month", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("Month", "2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("Month", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
    ],
)
def test_a_window_holds_its_first_instant_and_not_its_end(window: Window, at: str, began: str, ends: str) -> None:
    assert (start(window, ms(at)), end(window, ms(at))) == (ms(began), ms(ends))
    assert start(window, ms(ends)) == ms(ends)


def test_once_never_ends() -> None:
    assert (start("Once", ms("2026-03-01T00:00:00Z")), end("Once", ms("2026-03-01T00:00:00Z"))) == (0, NEVER)


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        pytest.param(1000 * DAY, 1000 * DAY, id="now"),
        pytest.param(990 * DAY, 990 * DAY, id="late"),
        pytest.param(900 * DAY, 900 * DAY, id="as old as what is kept"),
        pytest.param(900 * DAY - 1, 1000 * DAY, id="older: a clock that was never set"),
        pytest.param(1001 * DAY, 1001 * DAY, id="a day ahead"),
        pytest.param(1001 * DAY + 1, 1000 * DAY, id="further ahead: a clock that is wrong"),
        pytest.param(0, 1000 * DAY, id="1970"),
    ],
)
def test_an_event_counts_at_its_own_time_within_bounds(at: int, counts: int) -> None:
    assert bounded(at, receipt=1000 * DAY, oldest=900 * DAY) == counts
