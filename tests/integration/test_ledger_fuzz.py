"""No bytes and no query make the running ledger fail: each answer is below 500 and says what is wrong."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.ledger_stack import GATEWAY_TOKEN, Stack, ledger_running
from tests.unit.gateway.ledger.builders import key, priced, usage

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUNS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PARAMETERS = (
    *("start_time", "end_time", "bucket_width", "group_by", "limit", "page", "models", "models[]", "project_ids"),
    *("api_key_ids", "user_ids", "batch", "format", "after", "order", "include_archived"),
)
PATHS = (
    *("usage/completions", "usage/embeddings", "usage/images", "usage/export", "costs", "projects", "admin_api_keys"),
    *("projects/team-a/api_keys", "projects/%00", "nothing"),
)
VALUES = st.one_of(
    st.binary(max_size=24),
    st.integers(-(2**70), 2**70).map(lambda number: str(number).encode()),
    st.sampled_from(
        [b"1m", b"1h", b"1d", b"model", b"project_id", b"line_item", b"page_1772323200", b"csv", b"parquet"]
    ),
    st.just(b"1772323200"),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("ledger")
    async with ledger_running(folder, {"apikeys": [key()], "llmservices": [priced()]}) as stack:
        await stack.bill([usage()])
        yield stack


@RUNS
@given(st.binary(max_size=300))
@example(b'{"events":[' + b"[" * 200_000)
@example(b"\x00" * 2**20)
@example(b" " * (2**23 + 1))
@example(b'{"events":[{"model":"\\ud800"}]}')
async def test_any_body(stack: Stack, body: bytes) -> None:
    for path in ("/v1/events", "/v1/sync"):
        token = stack.cluster.worker_token("team-a") if path == "/v1/events" else GATEWAY_TOKEN
        status, said = await stack.post(path, body, token)
        assert status in (400, 413), said
        assert said["error"]["message"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)  # half a character is no JSON at all
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT


@RUNS
@given(st.dictionaries(st.sampled_from(sorted(usage())), SCALARS, max_size=2))
@example({"model": "é\U0001f600"})
@example({"prompt_tokens": 10**8, "cached_tokens": 0, "completion_tokens": 10**8})
async def test_any_event(stack: Stack, fields: dict[str, Any]) -> None:
    token = stack.cluster.worker_token("team-a")
    status, said = await stack.post("/v1/events", {"events": [usage(), usage() | fields]}, token)
    assert status in (200, 400, 403), said
    assert status == 200 or said["error"]["param"].startswith("events[1]")


@RUNS
@given(st.sampled_from(PATHS), st.lists(st.tuples(st.sampled_from(PARAMETERS), VALUES), max_size=5))
@example("usage/completions", [("start_time", b"1772323200"), ("models", b"\x00")])
@example("usage/completions", [("start_time", b"1772323200"), ("models", b"\xed\xa0\x80")])
@example("usage/completions", [("start_time", b"0"), ("end_time", str(2**36).encode()), ("limit", b"31")])
async def test_any_query(stack: Stack, path: str, query: list[tuple[str, bytes]]) -> None:
    text = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in query)
    status, said = await stack.get(f"/v1/organization/{path}?{text}")
    assert status in (200, 400, 404), said
    assert status == 200 or json.loads(said)["error"]["message"]
