"""Events, sums of them, spending, keys and prices."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SUMS = (
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "prompt_cost",
    "cached_cost",
    "completion_cost",
)


def upgrade() -> None:
    """The tables of the first version."""
    _events()
    op.create_table(
        "usage",
        sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(256), primary_key=True),
        sa.Column("route", sa.String(64), primary_key=True),
        *(_sum(name) for name in _SUMS),
    )
    op.create_index("usage_by_key", "usage", ["key_id", "minute"])
    op.create_table(
        "spending",
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("budget", sa.String(253), primary_key=True),
        sa.Column("window", sa.String(8), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        _sum("tokens"),
        _sum("cost"),
    )
    _keys_and_prices()


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.String(256), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("service", sa.String(253), nullable=False),
        sa.Column("revision", sa.String(253), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("adapter", sa.String(256)),
        sa.Column("route", sa.String(64), nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("ttft_ms", sa.BigInteger),
        sa.Column("budget", sa.String(253)),
        sa.Column("cost_center", sa.String(63)),
        _sum("cost"),
    )
    op.create_index("events_by_time", "events", ["time", "id"])


def _keys_and_prices() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("budget", sa.String(253)),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("gone", sa.BigInteger),
    )
    op.create_table(
        "prices",
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("service", sa.String(253), primary_key=True),
        *(_sum(name) for name in ("prompt", "cached", "completion")),
    )


def _sum(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)
