"""The windows of budgets: days and months of UTC's calendar, or one that never ends. Instants are ms since 1970."""

from datetime import UTC, datetime
from typing import Final, Literal, get_args

from llmservice_gateway.objects import NEVER

Window = Literal["Day", "Month", "Once"]
WINDOWS: Final[tuple[Window, ...]] = get_args(Window)
MINUTE: Final = 60_000
DAY: Final = 86_400_000


def start(window: Window, at: int) -> int:
    """When the window that holds the instant began; 0 for Once."""
    if window == "Once":
        return 0
    if window == "Day":
        return at - at % DAY
    day = datetime.fromtimestamp(at // 1000, UTC)
    return _instant(day.year, day.month)


def end(window: Window, at: int) -> int:
    """The first instant after the window that holds `at`; NEVER for Once."""
    if window == "Once":
        return NEVER
    if window == "Day":
        return start(window, at) + DAY
    day = datetime.fromtimestamp(at // 1000, UTC)
    return _instant(day.year + day.month // 12, day.month % 12 + 1)


def bounded(at: int, receipt: int, oldest: int) -> int:
    """When an event counts: at its own time, unless that is a day ahead of its receipt or before `oldest`.

    A machine whose clock is that far off would else spend from a window that nobody looks at, or that is swept away.
    """
    return at if oldest <= at <= receipt + DAY else receipt


def _instant(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
