"""Connections to SQLite or PostgreSQL, and bringing their tables up to date."""

import sqlite3
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_BUSY_MS: Final = 10_000
READERS: Final = 2
"""Threads that read for reports."""
_CONNECTIONS: Final = READERS + 2
"""One for each thread: the readers', the writer's, and the health check's. So none of them waits for another's."""
_POSTGRESQL: Final[dict[str, Any]] = {
    "application_name": "llmservice-ledger",
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "options": "-c statement_timeout=60000 -c timezone=UTC",
}


class DatabaseUnusable(Exception):
    """The database is not one that this version of the ledger can work with."""


def sqlite(file: Path) -> Engine:
    """A SQLite file whose commits are on disk when they return."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"isolation_level": None, "timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def postgresql(dsn_file: Path) -> Engine:
    """The PostgreSQL whose DSN (a URL, or libpq's words) a file holds; it is read anew for each connection."""

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(dsn_file.read_text().strip(), **_POSTGRESQL)

    return create_engine(
        "postgresql+psycopg://", creator=connect, pool_pre_ping=True, pool_size=_CONNECTIONS, max_overflow=0
    )


def migrate(engine: Engine) -> None:
    """Brings the tables to this version's; raises DatabaseUnusable where they are a later version's."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseUnusable(
                f"the database cannot be brought to this version ({error}): it was written by a later one; "
                "install that version again, or restore a backup from before it"
            ) from error
