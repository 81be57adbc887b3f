"""Floors of replicas by the clock, from spec.scaling.schedules: pure.

A time of day that the clock skips is as much later, one that comes twice the first (fold 0 of PEP 495).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, get_args
from zoneinfo import ZoneInfo

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.scaling import Day, Schedule

_DAYS: Final = get_args(Day)


def in_force(spec: LLMServiceSpec, now: datetime) -> LLMServiceSpec:
    """The spec as it holds now: minReplicas raised to the floor of the schedule that holds, up to maxReplicas."""
    scaling = spec.scaling
    if scaling is None or (least := min(floor(scaling.schedules, now), scaling.max_replicas)) <= scaling.min_replicas:
        return spec
    return spec.model_copy(update={"scaling": scaling.model_copy(update={"min_replicas": least})})


def floor(schedules: Sequence[Schedule], now: datetime) -> int:
    """Fewest replicas by the clock; 0 where no schedule holds."""
    holding = [each.min_replicas for each in schedules for begin, end in _times(each, now) if begin <= now < end]
    return max(holding, default=0)


def next_edge(schedules: Sequence[Schedule], now: datetime) -> datetime | None:
    """When a schedule next begins or ends; None without schedules."""
    edges = [edge for each in schedules for times in _times(each, now) for edge in times if edge > now]
    return min(edges, default=None)


def _times(schedule: Schedule, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of all its times from those that may still hold to those of a week ahead."""
    zone = ZoneInfo(schedule.timezone)
    start, end = time.fromisoformat(schedule.start), time.fromisoformat(schedule.end)
    today = now.astimezone(zone).date()
    for ahead in range(-1, 8):
        day = today + timedelta(days=ahead)
        if _DAYS[day.weekday()] in schedule.days:
            yield _instant(day, start, zone), _instant(day + timedelta(days=end <= start), end, zone)


def _instant(day: date, moment: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, moment, zone).astimezone(UTC)
