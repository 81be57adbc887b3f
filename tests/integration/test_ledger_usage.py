"""OpenAI's own client, unmodified, asks the running ledger what was used."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from openai import OpenAI

from tests.integration.ledger_stack import GATEWAY_TOKEN, Stack, ledger_running
from tests.integration.postgresql_server import postgresql_running
from tests.unit.gateway.ledger.builders import KEY, Json, key, priced, usage

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
HOUR = 3600
OTHER = f"{2:016x}"
ADMIN = f"{3:016x}"


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["sqlite", "postgresql"])
async def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("ledger")
    async with AsyncExitStack() as running:
        settings = {}
        if request.param == "postgresql":
            server = await running.enter_async_context(postgresql_running())
            (folder / "dsn").write_text(server.dsn)
            settings["LLMSERVICE_LEDGER_DSN_FILE"] = str(folder / "dsn")
        yield await running.enter_async_context(used(folder, settings))


@asynccontextmanager
async def used(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Stack]:
    admin = key(3, namespace="llmservice-system")
    admin["spec"] = {"role": "Admin", "expiresAt": "2030-01-01T00:00:00Z"}
    objects = {
        "apikeys": [key(1), key(2, namespace="team-b"), admin],
        "llmservices": [priced(), priced(namespace="team-b", prompt="10")],
    }
    async with ledger_running(folder, objects, **settings) as stack:
        await stack.bill(
            [
                usage("2026-03-01T00:10:00Z"),
                usage("2026-03-01T00:20:00Z", model="llama-lora", adapter="llama-lora"),
                usage("2026-03-01T05:59:59.999Z", outcome="client_left", status=None),
                usage("2026-03-02T23:00:00Z", key_id="", prompt_tokens=7, cached_tokens=0, completion_tokens=1),
                usage("2026-03-01T01:00:00Z", route="rerank", prompt_tokens=30, cached_tokens=0, completion_tokens=0),
                usage("2026-03-01T02:00:00Z", route="audio/transcriptions"),
            ]
        )
        await stack.bill([usage("2026-03-01T00:30:00Z", namespace="team-b", key_id=OTHER)], "team-b")
        yield stack


def client(stack: Stack, scope: str = "*") -> OpenAI:
    """The gateway adds the scope to an Admin's request, and its own token in place of the Admin's key."""
    asking = OpenAI(
        admin_api_key=GATEWAY_TOKEN,
        base_url=f"{stack.ledger.url}/v1",
        default_headers={"x-llmservice-admin": scope},
        max_retries=0,
    )
    return stack.opened.enter_context(asking)


async def ask(call: Callable[..., Any], **arguments: Any) -> Any:
    return await asyncio.to_thread(call, **arguments)


async def test_completions_by_hour_and_model(stack: Stack) -> None:
    answer = await ask(
        client(stack).admin.organization.usage.completions,
        start_time=DAY,
        end_time=DAY + 6 * HOUR,
        bucket_width="1h",
        group_by=["model"],
        project_ids=["team-a"],
    )
    assert [bucket.start_time for bucket in answer.data] == [DAY + hour * HOUR for hour in range(6)]
    found = [[(each.model, each.num_model_requests) for each in bucket.results] for bucket in answer.data]
    assert found == [[("llama", 1), ("llama-lora", 1)], [], [], [], [], [("llama", 1)]]
    first = answer.data[0].results[0]
    assert type(first).__name__ == "DataResultOrganizationUsageCompletionsResult"
    assert (first.input_tokens, first.input_cached_tokens, first.output_tokens) == (100, 40, 10)
    assert (first.project_id, first.api_key_id, first.user_id, first.batch) == (None, None, None, None)
    assert answer.has_more is False


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        ({}, 4),
        ({"api_key_ids": [KEY]}, 3),
        ({"api_key_ids": [KEY, OTHER]}, 4),
        ({"models": ["llama-lora"]}, 1),
        ({"models": ["llama"], "project_ids": ["team-b"]}, 1),
        ({"project_ids": ["nowhere"]}, 0),
        ({"user_ids": ["somebody"]}, 0),
        ({"batch": True}, 0),
        ({"batch": False}, 4),
        ({"start_time": DAY + 25 * 60}, 2),
        ({"end_time": DAY + 15 * 60}, 1),
    ],
)
async def test_filters(stack: Stack, arguments: Json, requests: int) -> None:
    span = {"start_time": DAY, "end_time": DAY + 24 * HOUR}
    answer = await ask(client(stack).admin.organization.usage.completions, **span | arguments)
    assert sum(each.num_model_requests for bucket in answer.data for each in bucket.results) == requests


async def test_pages_hold_what_one_answer_holds(stack: Stack) -> None:
    call = client(stack).admin.organization.usage.completions
    asked: Json = {
        "start_time": DAY + 60,
        "end_time": DAY + 50 * HOUR,
        "bucket_width": "1h",
        "group_by": ["api_key_id"],
    }
    whole = (await ask(call, **asked, limit=168)).data
    pages: list[Any] = []
    page = None
    while page is not None or not pages:
        answer = await ask(call, **asked, limit=7, **({"page": page} if page else {}))
        pages.append(answer.data)
        page = answer.next_page
        assert answer.has_more is (page is not None)
    assert [bucket for found in pages for bucket in found] == whole
    assert (len(pages), len(whole)) == (8, 50)
    assert (whole[0].start_time, whole[0].end_time) == (DAY + 60, DAY + HOUR)


@pytest.mark.parametrize(("width", "seconds", "count"), [("1m", 60, 60), ("1h", HOUR, 24), ("1d", 24 * HOUR, 7)])
async def test_buckets_without_an_end_reach_to_now(stack: Stack, width: str, seconds: int, count: int) -> None:
    call = client(stack).admin.organization.usage.completions
    answer = await ask(call, start_time=DAY, bucket_width=width)
    assert [(bucket.start_time - DAY) // seconds for bucket in answer.data] == list(range(count))
    assert answer.next_page == f"page_{DAY + count * seconds}"


async def test_other_kinds_of_requests_are_reports_of_their_own(stack: Stack) -> None:
    reports = client(stack).admin.organization.usage
    span = {"start_time": DAY, "end_time": DAY + 24 * HOUR}
    (embeddings,) = (await ask(reports.embeddings, **span)).data[0].results
    assert (embeddings.input_tokens, embeddings.num_model_requests) == (30, 1)
    (audio,) = (await ask(reports.audio_transcriptions, **span)).data[0].results
    assert (audio.num_model_requests, audio.seconds, audio.input_tokens) == (1, None, 100)
    for name in ("moderations", "images", "audio_speeches", "vector_stores", "file_search_calls", "web_search_calls"):
        answer = await ask(getattr(reports, name), **span)
        assert [bucket.results for bucket in answer.data] == [[]]
    assert [bucket.results for bucket in (await ask(reports.code_interpreter_sessions, **span)).data] == [[]]


async def test_costs_are_what_prices_say(stack: Stack) -> None:
    call = client(stack).admin.organization.usage.costs
    answer = await ask(call, start_time=DAY, end_time=DAY + 48 * HOUR, group_by=["project_id"])
    found = [[(each.project_id, each.amount.value, each.amount.currency) for each in b.results] for b in answer.data]
    of_one = Decimal("0.0001")
    assert found[0] == [("team-a", float(4 * of_one + Decimal("0.00003")), "usd"), ("team-b", 0.00064, "usd")]
    assert found[1] == [("team-a", 0.000009, "usd")]
    items = await ask(call, start_time=DAY, end_time=DAY + HOUR, group_by=["line_item"], project_ids=["team-a"])
    assert [
        (each.line_item, each.amount.value, each.quantity, each.quantity_unit) for each in items.data[0].results
    ] == [
        ("llama, input_tokens", 0.00006, 60, "tokens"),
        ("llama, cached_input_tokens", 0.00002, 40, "tokens"),
        ("llama, output_tokens", 0.00002, 10, "tokens"),
        ("llama-lora, input_tokens", 0.00006, 60, "tokens"),
        ("llama-lora, cached_input_tokens", 0.00002, 40, "tokens"),
        ("llama-lora, output_tokens", 0.00002, 10, "tokens"),
    ]


async def test_an_admin_of_a_namespace_sees_that_namespace(stack: Stack) -> None:
    organization = client(stack, "team-b").admin.organization
    span = {"start_time": DAY, "end_time": DAY + 24 * HOUR, "group_by": ["project_id"]}
    for asked in ({}, {"project_ids": ["team-a", "team-b"]}):
        (bucket,) = (await ask(organization.usage.completions, **span, **asked)).data
        assert [each.project_id for each in bucket.results] == ["team-b"]
    (bucket,) = (await ask(organization.usage.completions, **span, project_ids=["team-a"])).data
    assert bucket.results == []
    assert [each.id for each in (await ask(organization.projects.list)).data] == ["team-b"]
    with pytest.raises(openai.NotFoundError):
        await ask(organization.projects.retrieve, project_id="team-a")
    with pytest.raises(openai.NotFoundError):
        await ask(organization.projects.api_keys.list, project_id="team-a")
    assert (await ask(organization.admin_api_keys.list)).data == []
    text = (await stack.get(f"/v1/organization/usage/export?start_time={DAY}&end_time={DAY + 86400}", "team-b"))[1]
    assert [row["namespace"] for row in csv.DictReader(io.StringIO(text.decode()))] == ["team-b"]


async def test_projects_and_keys(stack: Stack) -> None:
    organization = client(stack).admin.organization
    projects = await asyncio.to_thread(lambda: list(organization.projects.list(limit=1)))
    assert sorted(each.id for each in projects) == ["llmservice-system", "team-a", "team-b"]
    assert (await ask(organization.projects.retrieve, project_id="team-a")).status == "active"
    (found,) = (await ask(organization.projects.api_keys.list, project_id="team-a")).data
    assert (found.id, found.name, found.last_used_at) == (KEY, "key-1", DAY + 5 * HOUR + 59 * 60)
    assert found.owner.service_account.id == "team-a/key-1"
    assert (await ask(organization.projects.api_keys.retrieve, project_id="team-a", api_key_id=KEY)) == found
    (admin,) = await asyncio.to_thread(lambda: list(organization.admin_api_keys.list()))
    assert (admin.id, admin.expires_at) == (ADMIN, 1893456000)
    assert (await ask(organization.admin_api_keys.retrieve, key_id=ADMIN)).name == "key-3"


async def test_what_is_not_read_is_refused_in_openais_shape(stack: Stack) -> None:
    organization = client(stack).admin.organization
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(organization.projects.create, name="another")
    assert (refused.value.status_code, refused.value.code) == (405, "method_not_allowed")
    with pytest.raises(openai.BadRequestError) as wrong:
        await ask(organization.usage.completions, start_time=DAY, bucket_width="2h")
    assert (wrong.value.param, wrong.value.code) == ("bucket_width", "invalid_value")


async def test_an_export_holds_every_event_exactly(stack: Stack) -> None:
    await stack.bill([usage("2026-03-05T00:00:00Z", request_id=f'a,"{number}"') for number in range(500)])
    for _ in range(9):
        await stack.bill([usage("2026-03-05T00:00:00Z") for _ in range(500)])
    span = f"start_time={DAY}&end_time={DAY + 10 * 86400}"
    rows = list(csv.DictReader(io.StringIO((await stack.get(f"/v1/organization/usage/export?{span}"))[1].decode())))
    assert len({row["id"] for row in rows}) == len(rows) == 5007
    assert rows[0]["time"] == "2026-03-01T00:10:00.000Z"
    assert (rows[0]["cost"], rows[0]["currency"], rows[0]["stream"]) == ("0.0001000000", "usd", "false")
    assert sum(row["request_id"].startswith('a,"') for row in rows) == 500
    status, parquet = await stack.get(f"/v1/organization/usage/export?{span}&format=parquet")
    table = pq.read_table(io.BytesIO(parquet))
    assert (status, table.num_rows) == (200, 5007)
    assert table.column("id").to_pylist() == [row["id"] for row in rows]
    assert sum(table.column("cost").to_pylist()) == sum(Decimal(row["cost"]) for row in rows)
    assert table.column("time")[0].as_py() == datetime(2026, 3, 1, 0, 10, tzinfo=UTC)


async def test_an_export_of_nothing_is_a_file(stack: Stack) -> None:
    span = "start_time=0&end_time=60"
    assert (await stack.get(f"/v1/organization/usage/export?{span}"))[1].count(b"\n") == 1
    parquet = (await stack.get(f"/v1/organization/usage/export?{span}&format=parquet"))[1]
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 0
    status, said = await stack.get("/v1/organization/usage/export?format=xlsx")
    assert (status, json.loads(said)["error"]["param"]) == (400, "format")
