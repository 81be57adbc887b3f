"""What is written to the database and read back at the start. Every call is one transaction, made in a thread.

Raises StoreFailed where the database is away or full; whether a write was made is then unknown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from llmservice_gateway.ledger.entries import Entry, Row, Spent, event_row, spendings, usage_rows
from llmservice_gateway.ledger.pricing import Price
from llmservice_gateway.ledger.records import Key, Priced
from llmservice_gateway.ledger.schema import EVENTS, KEYS, PRICES, SPENDING, USAGE

_INSERTS: Final[Mapping[str, Callable[[Table], Any]]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
MinuteTokens = dict[tuple[str, str, int], int]
"""Tokens by key id, namespace and minute."""


class StoreFailed(Exception):
    """The database is away, full, or refused; the message says which, without what was to be stored."""


@contextmanager
def speaking() -> Iterator[None]:
    """Turns every failure of the database into StoreFailed."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error, OSError, OverflowError) as error:
        cause = getattr(error, "orig", None) or error
        said = str(cause).strip().splitlines()
        raise StoreFailed(f"{type(cause).__name__}: {said[0][:200] if said else 'no message'}") from error


class Store:
    """The tables of one ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = _INSERTS[engine.dialect.name]

    def record(self, entries: Sequence[Entry]) -> list[Entry]:
        """Stores events that are not stored yet, and all that they add; those are returned, after the commit."""
        with speaking(), self._engine.begin() as connection:
            new = self._new(connection, {each.event.id: each for each in reversed(entries)})
            self._add(connection, USAGE, usage_rows(new))
            self._add(connection, SPENDING, [asdict(each) for each in spendings(new)])
        return new

    def save(self, changed: Sequence[Key | Priced]) -> None:
        """Stores keys and prices in place of what was known of them."""
        keys = [asdict(each) for each in changed if isinstance(each, Key)]
        prices = [_price_row(each) for each in changed if isinstance(each, Priced)]
        with speaking(), self._engine.begin() as connection:
            self._replace(connection, KEYS, keys)
            self._replace(connection, PRICES, prices)

    def known_keys(self) -> list[Key]:
        """Every key that was ever seen."""
        with speaking(), self._engine.connect() as connection:
            return [Key(**row) for row in connection.execute(select(KEYS)).mappings()]

    def known_prices(self) -> list[Priced]:
        """The last price of every service."""
        with speaking(), self._engine.connect() as connection:
            rows = connection.execute(select(PRICES))
            return [Priced(row.namespace, row.service, Price(row.prompt, row.cached, row.completion)) for row in rows]

    def spent(self, starts: Mapping[str, int]) -> list[Spent]:
        """What budgets used in windows that began at `starts` (by kind of window) or later."""
        with speaking(), self._engine.connect() as connection:
            rows = connection.execute(select(SPENDING).where(SPENDING.c.start >= min(starts.values()))).mappings()
            return [Spent(**row) for row in rows if row["start"] >= starts[row["window"]]]

    def tokens_since(self, minute: int) -> MinuteTokens:
        """Prompt and completion tokens from a minute on."""
        tokens = func.sum(USAGE.c.prompt_tokens + USAGE.c.completion_tokens)
        place = (USAGE.c.key_id, USAGE.c.namespace, USAGE.c.minute)
        query = select(*place, tokens).where(USAGE.c.minute >= minute).group_by(*place)
        with speaking(), self._engine.connect() as connection:
            return {(key, space, minute): int(count) for key, space, minute, count in connection.execute(query)}

    def sweep(self, before: int, most: int) -> int:
        """Deletes at most `most` rows of each table from before an instant; how many of the one that had most."""
        old = [
            (EVENTS, EVENTS.c.time < before),
            (USAGE, USAGE.c.minute < before // 60_000),
            (SPENDING, (SPENDING.c.start < before - 31 * 86_400_000) & (SPENDING.c.window != "Once")),
            (KEYS, KEYS.c.gone < before),
        ]
        return max(self._delete(table, condition, most) for table, condition in old)

    def check(self) -> None:
        """Raises StoreFailed unless the database answers."""
        with speaking(), self._engine.connect() as connection:
            connection.execute(select(1))

    def _new(self, connection: Connection, by_id: Mapping[str, Entry]) -> list[Entry]:
        if not by_id:
            return []
        statement = self._insert(EVENTS).on_conflict_do_nothing().returning(EVENTS.c.id)
        # In the order of ids: two writers of the same events would else wait for each other.
        rows = [event_row(by_id[each]) for each in sorted(by_id)]
        return [by_id[stored] for stored in connection.execute(statement, rows).scalars()]

    def _add(self, connection: Connection, table: Table, rows: list[Row]) -> None:
        if rows:
            statement = self._insert(table)
            sums = {each.name: each + statement.excluded[each.name] for each in table.c if not each.primary_key}
            connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums), rows)

    def _replace(self, connection: Connection, table: Table, rows: list[Row]) -> None:
        if rows:
            statement = self._insert(table)
            values = {each.name: statement.excluded[each.name] for each in table.c if not each.primary_key}
            places = list(table.primary_key)
            connection.execute(statement.on_conflict_do_update(index_elements=places, set_=values), rows)

    def _delete(self, table: Table, condition: Any, most: int) -> int:
        places = list(table.primary_key)
        with speaking(), self._engine.begin() as connection:
            rows = connection.execute(select(*places).where(condition).limit(most)).all()
            if rows:
                matches = [{f"_{each.name}": value for each, value in zip(places, row, strict=True)} for row in rows]
                bound = [each == bindparam(f"_{each.name}") for each in places]
                connection.execute(delete(table).where(*bound), matches)
            return len(rows)


def _price_row(priced: Priced) -> Row:
    return {"namespace": priced.namespace, "service": priced.service, **asdict(priced.price)}
