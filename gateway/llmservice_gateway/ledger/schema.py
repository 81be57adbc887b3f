"""The ledger's tables. Instants are ms since 1970, costs whole units of 1e-10 of the currency.

events    one row an event, never changed
usage     sums of events by minute and all that reports are grouped by: written with the events they are made of
spending  what the keys that name a budget have used, in each window
keys      every key that was ever seen, and where it spends; `gone`: when its APIKey was found deleted
prices    the last price of each service
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table

METADATA: Final = MetaData()


def _sum(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


EVENTS: Final = Table(
    "events",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("request_id", String(256), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("namespace", String(63), nullable=False),
    Column("service", String(253), nullable=False),
    Column("revision", String(253), nullable=False),
    Column("model", String(256), nullable=False),
    Column("adapter", String(256)),
    Column("route", String(64), nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("status", Integer),
    Column("stream", Boolean, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("ttft_ms", BigInteger),
    Column("budget", String(253)),
    Column("cost_center", String(63)),
    Column("cost", BigInteger, nullable=False),
    Index("events_by_time", "time", "id"),
)

USAGE: Final = Table(
    "usage",
    METADATA,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("namespace", String(63), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("route", String(64), primary_key=True),
    *(_sum(name) for name in ("requests", "prompt_tokens", "cached_tokens", "completion_tokens")),
    *(_sum(name) for name in ("prompt_cost", "cached_cost", "completion_cost")),
    Index("usage_by_key", "key_id", "minute"),
)

SPENDING: Final = Table(
    "spending",
    METADATA,
    Column("namespace", String(63), primary_key=True),
    Column("budget", String(253), primary_key=True),
    Column("window", String(8), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    _sum("tokens"),
    _sum("cost"),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    Column("role", String(16), nullable=False),
    Column("budget", String(253)),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("gone", BigInteger),
)

PRICES: Final = Table(
    "prices",
    METADATA,
    Column("namespace", String(63), primary_key=True),
    Column("service", String(253), primary_key=True),
    *(_sum(name) for name in ("prompt", "cached", "completion")),
)
