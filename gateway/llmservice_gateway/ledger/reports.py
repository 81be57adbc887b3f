"""What is read from the database for reports: sums of usage by bucket and group, keys, projects, events."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Engine, Row, Select, and_, func, literal, or_, select

from llmservice_gateway.ledger.query import Asked, Bucket
from llmservice_gateway.ledger.records import ADMIN, Key
from llmservice_gateway.ledger.schema import EVENTS, KEYS, PRICES, USAGE
from llmservice_gateway.ledger.store import speaking

SUMS: Final = (
    *("requests", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("prompt_cost", "cached_cost", "completion_cost"),
)
GROUPS: Final[Mapping[str, Column[Any]]] = {
    "project_id": USAGE.c.namespace,
    "api_key_id": USAGE.c.key_id,
    "model": USAGE.c.model,
}
"""What reports are grouped by and is in the database."""
FILTERS: Final[Mapping[str, Column[Any]]] = {
    "project_ids": USAGE.c.namespace,
    "api_key_ids": USAGE.c.key_id,
    "models": USAGE.c.model,
}
_MINUTE: Final = 60


@dataclass(frozen=True)
class Sums:
    """Sums of one group in one bucket, by the names of SUMS; `group` by what was asked to group by."""

    group: Mapping[str, str]
    sums: Mapping[str, int]


@dataclass(frozen=True)
class Project:
    """A namespace in which a key or a service was seen; `created` is when its first key was, ms since 1970."""

    id: str
    created: int
    active: bool


class Reports:
    """Reads; each call is a transaction of its own. `scope` is the namespace that may be seen, None for all."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def usage(
        self, asked: Asked, scope: str | None, routes: Sequence[ColumnElement[bool]] = ()
    ) -> dict[Bucket, list[Sums]]:
        """Sums by bucket, in the order of groups; a bucket without usage has none."""
        with speaking(), self._engine.connect() as connection:
            found: dict[Bucket, list[Sums]] = {bucket: [] for bucket in asked.buckets}
            if not asked.buckets:
                return found
            groups = [GROUPS[name] for name in asked.groups if name in GROUPS]
            for row in connection.execute(_usage_query(asked, groups, scope, routes)):
                bucket, sums = _placed(asked, row, groups)
                found[bucket].append(sums)
            return found

    def keys(
        self, scope: str | None, namespace: str | None = None, admin: bool = False
    ) -> list[tuple[Key, int | None]]:
        """Keys that exist, oldest first, each with the minute of its last use (since 1970)."""
        last = select(func.max(USAGE.c.minute)).where(USAGE.c.key_id == KEYS.c.id).scalar_subquery()
        query = select(KEYS, last.label("last")).where(KEYS.c.gone.is_(None)).order_by(KEYS.c.created, KEYS.c.id)
        query = query.where(KEYS.c.role == ADMIN if admin else KEYS.c.role != ADMIN)
        for wanted in (scope, namespace):
            if wanted is not None:
                query = query.where(KEYS.c.namespace == wanted)
        with speaking(), self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [(Key(**row), used) for row in rows for used in [row.pop("last")]]

    def projects(self, scope: str | None) -> list[Project]:
        """Namespaces, those with the oldest keys first."""
        alive = func.count().filter(KEYS.c.gone.is_(None))
        keys = select(KEYS.c.namespace, func.min(KEYS.c.created), alive).group_by(KEYS.c.namespace)
        services = select(PRICES.c.namespace, literal(0), func.count()).group_by(PRICES.c.namespace)
        if scope is not None:
            keys, services = keys.where(KEYS.c.namespace == scope), services.where(PRICES.c.namespace == scope)
        with speaking(), self._engine.connect() as connection:
            of_keys = [Project(name, created, bool(living)) for name, created, living in connection.execute(keys)]
            served = {row[0] for row in connection.execute(services)}
        named = {each.id: Project(each.id, each.created, each.active or each.id in served) for each in of_keys}
        found = {name: Project(name, 0, True) for name in served} | named
        return sorted(found.values(), key=lambda each: (each.created, each.id))

    def events(self, start: int, end: int, scope: str | None, batch: int) -> Iterator[list[Mapping[str, Any]]]:
        """Events from `start` to before `end` (ms since 1970) by time, in lists of at most `batch`.

        Each list is read when it is asked for, so nothing is held in between, neither in memory nor in the database.
        """
        after: tuple[int, str] = (start, "")
        while True:
            with speaking(), self._engine.connect() as connection:
                rows = connection.execute(_events_query(after, end, scope, batch)).mappings().all()
            if rows:
                yield [dict(row) for row in rows]
            if len(rows) < batch:
                return
            after = (rows[-1]["time"], rows[-1]["id"])


def _usage_query(
    asked: Asked, groups: Sequence[Column[Any]], scope: str | None, routes: Sequence[ColumnElement[bool]]
) -> Select[Any]:
    first, last = asked.buckets[0].start // _MINUTE, asked.buckets[-1].end // _MINUTE
    number = _bucket_number(asked)
    sums = [func.sum(USAGE.c[name]).label(name) for name in SUMS]
    query = select(number, *groups, *sums).where(USAGE.c.minute >= first, USAGE.c.minute < last, *routes)
    if scope is not None:
        query = query.where(USAGE.c.namespace == scope)
    for name, column in FILTERS.items():
        if name in asked.filters:
            query = query.where(column.in_(asked.filters[name]))
    return query.group_by(number, *groups).order_by(number, *groups)


def _bucket_number(asked: Asked) -> ColumnElement[int]:
    """Which bucket a row is in: by the width of the second one, since the first and the last may be shorter."""
    width = max(each.end - each.start for each in asked.buckets) // _MINUTE
    if len(asked.buckets) == 1:
        return literal(0).label("bucket")
    begins = asked.buckets[1].start // _MINUTE - width
    return ((USAGE.c.minute - begins) // width).label("bucket")


def _placed(asked: Asked, row: Row[Any], groups: Sequence[Column[Any]]) -> tuple[Bucket, Sums]:
    names = [name for name in asked.groups if name in GROUPS]
    values = row[1 : 1 + len(groups)]
    sums = {name: int(value) for name, value in zip(SUMS, row[1 + len(groups) :], strict=True)}
    return asked.buckets[int(row[0])], Sums(dict(zip(names, values, strict=True)), sums)


def _events_query(after: tuple[int, str], end: int, scope: str | None, batch: int) -> Select[Any]:
    at, event_id = after
    later = or_(EVENTS.c.time > at, and_(EVENTS.c.time == at, EVENTS.c.id > event_id))
    query = select(EVENTS).where(EVENTS.c.time >= at, later, EVENTS.c.time < end)
    if scope is not None:
        query = query.where(EVENTS.c.namespace == scope)
    return query.order_by(EVENTS.c.time, EVENTS.c.id).limit(batch)
