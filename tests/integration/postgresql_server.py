"""A real PostgreSQL, Debian's, on loopback: it can be killed and started again on the same data."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from hack.cluster import machine
from hack.cluster.progress import Steps
from tests.eventually import eventually
from tests.integration.gateway_stack import free_ports

_NO_MAIN = Path("/etc/postgresql-common/createcluster.conf")


class PostgreSQL:
    """One server with a user `ledger`, whose own the database `ledger` is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        self._password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        # initdb and the server refuse to run as root.
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}

    @property
    def dsn(self) -> str:
        """As the Secret holds it."""
        return f"postgresql://ledger:{self._password}@127.0.0.1:{self._port}/ledger"

    @property
    def pid(self) -> int:
        """Of the server that was started last."""
        assert self._process is not None
        return self._process.pid

    def make(self) -> None:
        """Makes the data directory."""
        if self._user:
            shutil.chown(self._folder, "postgres", "postgres")
        words = ("--pgdata", self._folder / "data", "--username=postgres", "--auth=trust", "--no-sync")
        subprocess.run([_program("initdb"), *words], check=True, capture_output=True, **self._user)

    async def start(self) -> None:
        """Starts the server and waits until it answers."""
        await eventually(self._answers_or_starts, 60, 0.1)

    async def create(self) -> None:
        """The user and the database."""
        async with await self._connect("postgres") as connection:
            await connection.set_autocommit(True)
            await connection.execute(f"CREATE USER ledger PASSWORD '{self._password}'".encode())
            await connection.execute(b"CREATE DATABASE ledger OWNER ledger")

    def kill(self) -> None:
        """SIGKILL to the server, in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it, without waiting for its clients."""
        self._end(signal.SIGINT)

    async def ask(self, query: bytes) -> Any:
        """The one value that a query gives."""
        async with await self._connect("ledger") as connection:
            row = await (await connection.execute(query)).fetchone()
        assert row is not None
        return row[0]

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)

    async def _answers_or_starts(self) -> bool:
        """After a SIGKILL it cannot start while children of the one before live."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._started()
        try:
            async with await self._connect("postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def _started(self) -> "subprocess.Popen[bytes]":
        listening = (f"-cport={self._port}", "-clisten_addresses=127.0.0.1", "-cunix_socket_directories=")
        words: list[str | Path] = [_program("postgres"), "-D", self._folder / "data", *listening, "-cautovacuum=off"]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(words, stderr=log, cwd=self._folder, **self._user)

    async def _connect(self, database: str) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            f"host=127.0.0.1 port={self._port} user=postgres dbname={database} connect_timeout=5"
        )


@asynccontextmanager
async def postgresql_running() -> AsyncIterator[PostgreSQL]:
    """A server with an empty database."""
    await asyncio.to_thread(_installed)
    folder = Path(tempfile.mkdtemp(prefix="llmservice-postgresql-"))
    server = PostgreSQL(folder)
    try:
        await asyncio.to_thread(server.make)
        await server.start()
        await server.create()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _installed() -> None:
    if not shutil.which("pg_createcluster") and not _NO_MAIN.exists():
        # Debian's package would make and start a server of its own.
        _NO_MAIN.parent.mkdir(parents=True, exist_ok=True)
        _NO_MAIN.write_text("create_main_cluster = false\n")
    machine.ensure(machine.POSTGRESQL, Steps())


def _program(name: str) -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda each: int(each.parts[4]))
    assert found, f"PostgreSQL's {name} is not under /usr/lib/postgresql"
    return found[-1]
