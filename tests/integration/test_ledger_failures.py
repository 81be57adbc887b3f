"""What is acknowledged is stored, once: killed ledgers, killed databases, full disks, clusters that are away."""

import asyncio
import random
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from llmservice_gateway.ledger.bulkhead import MOST
from tests.eventually import eventually
from tests.integration.ledger_stack import GATEWAY_TOKEN, Stack, ledger_running
from tests.integration.postgresql_server import PostgreSQL, postgresql_running
from tests.unit.gateway.ledger.builders import Json, budget, key, priced, usage

OBJECTS = {"apikeys": [key(1, budget="monthly")], "budgets": [budget(tokens=10**9)], "llmservices": [priced()]}
POSTS = 40
EVENTS = 50


class Sender:
    """A worker: it sends each post again until it is told that it is stored, also one whose answer was lost."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.ledger.url}/v1/events"
        self._headers = {"authorization": f"Bearer {stack.cluster.worker_token('team-a')}"}
        self.acknowledged = 0
        self.tries = 0

    async def send(self, posts: list[list[Json]]) -> None:
        """Until all are acknowledged."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for events in posts:
                while not await self._try(session, events):  # noqa: ASYNC110
                    await asyncio.sleep(random.uniform(0.02, 0.1))
                self.acknowledged += len(events)

    def reached(self, aim: int) -> bool:
        """Whether so many events are acknowledged."""
        return self.acknowledged >= aim

    async def _try(self, session: aiohttp.ClientSession, events: list[Json]) -> bool:
        self.tries += 1
        try:
            async with session.post(self._url, json={"events": events}, headers=self._headers) as answer:
                assert answer.status in (200, 503), await answer.text()
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def posts(count: int = POSTS) -> list[list[Json]]:
    return [[usage(prompt_tokens=3, cached_tokens=1, completion_tokens=2) for _ in range(EVENTS)] for _ in range(count)]


async def totals(stack: Stack) -> tuple[int, int, int]:
    """Events, tokens, and requests of the reports, as the ledger tells them."""
    span = "start_time=1772323200&end_time=1772409600"
    status, exported = await stack.get(f"/v1/organization/usage/export?{span}")
    assert status == 200
    lines = exported.decode().splitlines()
    names, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    tokens = sum(int(row[names.index(each)]) for row in rows for each in ("prompt_tokens", "completion_tokens"))
    async with stack.session.get(
        f"{stack.ledger.url}/v1/organization/usage/completions?{span}",
        headers={"authorization": f"Bearer {GATEWAY_TOKEN}", "x-llmservice-admin": "*"},
    ) as answer:
        (bucket,) = (await answer.json())["data"]
    (result,) = bucket["results"]
    assert len({row[names.index("id")] for row in rows}) == len(rows)
    assert result["input_tokens"] + result["output_tokens"] == tokens
    return len(rows), tokens, result["num_model_requests"]


async def sent_while(stack: Stack, disturb: Callable[[], object], times: int) -> None:
    """Two senders, one of which repeats what the other sends, while something is done again and again."""
    batch = posts()
    one, same = Sender(stack), Sender(stack)
    sending = [asyncio.create_task(one.send(batch)), asyncio.create_task(same.send(batch[::2]))]
    for each in range(1, times + 1):
        aim = each * POSTS * EVENTS // (times + 1)
        await eventually(partial(one.reached, aim), 60)
        found = disturb()
        if asyncio.iscoroutine(found):
            await found
    async with asyncio.timeout(120):
        await asyncio.gather(*sending)
    assert one.tries + same.tries > POSTS * 3 // 2
    assert await totals(stack) == (POSTS * EVENTS, POSTS * EVENTS * 5, POSTS * EVENTS)


async def test_a_killed_ledger_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, OBJECTS) as stack:

        async def kill() -> None:
            await stack.ledger.kill()
            await stack.ledger.start()

        await sent_while(stack, kill, 3)
        spent = sqlite3.connect(tmp_path / "ledger.sqlite").execute(
            "SELECT tokens, cost FROM spending WHERE \"window\" = 'Once'"
        )
        events = POSTS * EVENTS
        assert spent.fetchall() == [(events * 5, events * (2 * 10_000 + 5_000 + 2 * 20_000))]


@asynccontextmanager
async def on_postgresql(folder: Path) -> AsyncIterator[tuple[Stack, PostgreSQL]]:
    async with postgresql_running() as server:
        (folder / "dsn").write_text(server.dsn + "\n")
        async with ledger_running(folder, OBJECTS, LLMSERVICE_LEDGER_DSN_FILE=str(folder / "dsn")) as stack:
            yield stack, server


async def test_a_killed_postgresql_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with on_postgresql(tmp_path) as (stack, server):

        async def kill() -> None:
            server.kill()
            await server.start()

        await sent_while(stack, kill, 3)
        assert await server.ask(b"SELECT sum(tokens) FROM spending WHERE \"window\" = 'Once'") == POSTS * EVENTS * 5


async def test_a_ledger_killed_before_postgresql_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with on_postgresql(tmp_path) as (stack, server):

        async def kill() -> None:
            await stack.ledger.kill()
            await stack.ledger.start()

        await sent_while(stack, kill, 2)
        assert await server.ask(b"SELECT count(*) FROM events") == POSTS * EVENTS


async def test_a_postgresql_that_is_away_is_said_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    async with on_postgresql(tmp_path) as (stack, server):
        await stack.bill([usage()])
        server.stop()
        token = stack.cluster.worker_token("team-a")
        status, said = await stack.post("/v1/events", {"events": [usage()]}, token)
        assert (status, said["error"]["code"]) == (503, "database_unavailable")
        assert (await stack.health("/readyz"))[0] == 503
        assert await stack.health("/healthz") == (200, "ok\n")
        await server.start()
        await stack.bill([usage()])
        assert await server.ask(b"SELECT count(*) FROM events") == 2


async def test_reports_that_hang_keep_no_event_waiting(tmp_path: Path) -> None:
    """Nothing can read the table of keys meanwhile; more reports ask than may, and more than there are connections."""
    async with on_postgresql(tmp_path) as (stack, server):

        async def keys_are_stored() -> bool:
            return bool(await server.ask(b"SELECT count(*) FROM keys"))

        await eventually(keys_are_stored)
        async with await psycopg.AsyncConnection.connect(server.dsn) as other:
            await other.execute("LOCK TABLE keys")
            spaces = [f"team-{number}" for number in range(MOST + 3)]
            asked = {asyncio.create_task(stack.get("/v1/organization/projects", space)) for space in spaces}
            await eventually(lambda: sum(each.done() for each in asked) == 3)
            assert [each.result()[0] for each in asked if each.done()] == [429] * 3
            await stack.bill([usage()])
            assert (await stack.health("/readyz"))[0] == 200
            assert sum(each.done() for each in asked) == 3
        assert sorted(status for status, _ in await asyncio.gather(*asked)) == [200] * MOST + [429] * 3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)


async def test_a_full_disk_is_said_and_nothing_is_lost_or_broken(tmp_path: Path, disk: Path) -> None:
    async with ledger_running(tmp_path, OBJECTS, LLMSERVICE_LEDGER_DATABASE=str(disk / "l.sqlite")) as stack:
        token = stack.cluster.worker_token("team-a")
        stored = 0
        status, said = 200, dict[str, Any]()
        while status == 200:
            status, said = await stack.post("/v1/events", {"events": posts(1)[0]}, token)
            stored += said.get("stored", 0)
            assert stored < 100_000
        assert (status, said["error"]["code"]) == (503, "database_unavailable")
        assert "full" not in said["error"]["message"]
        assert "database or disk is full" in stack.ledger.log()
        assert (await totals(stack))[0] == stored
        enlarge(disk)
        await stack.bill(posts(1)[0])
        assert (await totals(stack))[0] == stored + EVENTS
        await stack.ledger.kill()
        checked = sqlite3.connect(disk / "l.sqlite").execute("PRAGMA integrity_check").fetchall()
        assert checked == [("ok",)]


async def test_a_ledger_that_is_told_to_end_ends_in_peace_and_goes_on_later(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, OBJECTS) as stack:
        await stack.bill(posts(1)[0])
        assert await stack.ledger.end() == 0
        assert "Traceback" not in stack.ledger.log()
        await stack.ledger.start()
        assert (await totals(stack))[0] == EVENTS


async def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, OBJECTS) as stack:
        assert await stack.ledger.end() == 0
        database = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.close()
        with pytest.raises(AssertionError, match="written by a later one"):
            await stack.ledger.start()
        assert await stack.ledger.end() == 2
