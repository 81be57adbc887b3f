"""What a question about usage asks for, read from a URL's query as OpenAI's clients write it."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from llmservice_gateway.ledger.answers import bad_request

Query = Mapping[str, Sequence[str]]
"""Values by name, without the brackets that some clients put behind the names of lists."""

_LATEST: Final = 2**36
"""Seconds since 1970; far in the future, and exact in every database."""
_MOST_VALUES: Final = 200
_LONGEST: Final = 256
_MINUTE: Final = 60
WIDTHS: Final[Mapping[str, int]] = {"1m": 60, "1h": 3600, "1d": 86400}
LIMITS: Final[Mapping[str, tuple[int, int]]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets in an answer by their width: how many unless asked for, and at most."""
COST_LIMITS: Final = (7, 180)
_WHOLE: Final = re.compile(r"[0-9]{1,12}")
_PAGE: Final = re.compile(r"page_([0-9]{1,12})")


@dataclass(frozen=True)
class Kind:
    """One of the reports: by what it can be grouped, and which buckets it has."""

    groups: Collection[str]
    filters: Collection[str]
    widths: Collection[str]
    limits: tuple[int, int] | None = None


@dataclass(frozen=True)
class Bucket:
    """A stretch of time, in seconds since 1970; `end` is not in it."""

    start: int
    end: int


@dataclass(frozen=True)
class Asked:
    """Which buckets, which events, by what they are grouped. `next_page` is None where there is no more.

    `filters` by name; a name that is absent does not filter.
    """

    buckets: tuple[Bucket, ...]
    next_page: str | None
    groups: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]]


def by_name(pairs: Collection[tuple[str, str]]) -> Query:
    """The values of each name, in order."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.removesuffix("[]"), []).append(value)
    return found


def usage_query(query: Query, kind: Kind, now: int) -> Asked:
    """What is asked; `now` is in seconds. Raises Said (400) with the parameter that is wrong."""
    known = {"start_time", "end_time", "bucket_width", "group_by", "limit", "page", *kind.filters}
    for name in query:
        if name not in known:
            raise bad_request(f"Unknown parameter: {_shown(name)}.", name[:64], "unknown_parameter")
    width = choice(query, "bucket_width", kind.widths, "1d")
    usual, most = kind.limits or LIMITS[width]
    start = required(query, "start_time")
    end = whole(query, "end_time", None, 0, _LATEST)
    if end is not None and end <= start:
        raise bad_request("end_time must be after start_time.", "end_time")
    limit = whole(query, "limit", usual, 1, most) or usual
    buckets, more = _buckets(_page(query, start), end, now, WIDTHS[width], limit)
    groups = _groups(query, kind)
    filters = {name: _values(query, name) for name in kind.filters if name in query}
    return Asked(buckets, f"page_{more}" if more is not None else None, groups, filters)


def required(query: Query, name: str) -> int:
    """A time that must be said, in seconds; raises Said."""
    found = whole(query, name, None, 0, _LATEST)
    if found is None:
        raise bad_request(f"Missing required parameter: {name} (seconds since 1970).", name, "missing_parameter")
    return found


def whole(query: Query, name: str, default: int | None, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`; raises Said."""
    text = one(query, name)
    if text is None:
        return default
    if _WHOLE.fullmatch(text) is None or not low <= int(text) <= high:
        raise bad_request(f"{name} must be a whole number from {low} to {high}.", name)
    return int(text)


def choice(query: Query, name: str, choices: Collection[str], default: str) -> str:
    """One of the words; raises Said."""
    found = one(query, name)
    if found is None:
        return default
    if found not in choices:
        raise bad_request(f"{name} must be one of {', '.join(choices)}.", name)
    return found


def one(query: Query, name: str) -> str | None:
    """The value, None where there is none; raises Said where there are two."""
    found = query.get(name, ())
    if len(found) > 1:
        raise bad_request(f"{name} is given more than once.", name)
    return found[0] if found else None


def _buckets(start: int, end: int | None, now: int, width: int, limit: int) -> tuple[tuple[Bucket, ...], int | None]:
    """Buckets from `start` on, and where the next page begins.

    They begin at whole widths of UTC, the first at `start` and the last one ends at `end`, both to the minute;
    without an `end`, the last is the one that holds `now`.
    """
    at = start - start % _MINUTE
    last = now + width - now % width if end is None else end + (-end) % _MINUTE
    found: list[Bucket] = []
    while at < last:
        if len(found) == limit:
            return tuple(found), at
        until = min(at - at % width + width, last)
        found.append(Bucket(at, until))
        at = until
    return tuple(found), None


def _page(query: Query, start: int) -> int:
    page = one(query, "page")
    if page is None:
        return start
    found = _PAGE.fullmatch(page)
    if found is None or not start <= int(found[1]) <= _LATEST:
        raise bad_request("page must be the next_page of the answer before, of the same question.", "page")
    return int(found[1])


def _groups(query: Query, kind: Kind) -> tuple[str, ...]:
    found = _values(query, "group_by")
    for each in found:
        if each not in kind.groups:
            raise bad_request(f"group_by must be of {', '.join(sorted(kind.groups))}, not {_shown(each)}.", "group_by")
    return tuple(dict.fromkeys(found))


def _values(query: Query, name: str) -> tuple[str, ...]:
    found = tuple(query.get(name, ()))
    if len(found) > _MOST_VALUES or any(len(each) > _LONGEST or not each.isprintable() for each in found):
        raise bad_request(f"{name} takes at most {_MOST_VALUES} values of {_LONGEST} printable characters.", name)
    return found


def _shown(text: str) -> str:
    return ascii(text[:64])
