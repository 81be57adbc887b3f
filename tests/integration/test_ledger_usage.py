"""OpenAI's own client, unmodified, asks the running ledger what was used."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openai import OpenAI

from tests.integration.ledger_stack import GATEWAY_TOKEN, Stack, ledger_running
from tests.unit.gateway.ledger.builders import KEY, key, priced, usage

DAY = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
HOUR = 3600


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    objects = {
        "apikeys": [key(1), key(2, namespace="team-b")],
        "llmservices": [priced(), priced(namespace="team-b", prompt="10")],
    }
    async with ledger_running(tmp_path, objects, LLMSERVICE_LEDGER_RETENTION_DAYS="36500") as stack:
        await stack.bill(
            [
                usage("2026-03-01T00:10:00Z"),
                usage("2026-03-01T00:20:00Z", model="llama-lora", adapter="llama-lora"),
                usage("2026-03-01T05:59:59.999Z", outcome="client_left", status=None),
                usage("2026-03-02T23:00:00Z", key_id="", prompt_tokens=7, cached_tokens=0, completion_tokens=1),
                usage(
                    "2026-03-01T01:00:00Z", route="embeddings", prompt_tokens=30, cached_tokens=0, completion_tokens=0
                ),
            ]
        )
        await stack.bill([usage("2026-03-01T00:30:00Z", namespace="team-b", key_id=f"{2:016x}")], "team-b")
        yield stack


def client(stack: Stack, scope: str = "*") -> OpenAI:
    return OpenAI(
        admin_api_key=GATEWAY_TOKEN,
        base_url=f"{stack.ledger.url}/v1",
        default_headers={"x-llmservice-admin": scope},
        max_retries=0,
    )


async def test_completions_by_hour_and_model(stack: Stack) -> None:
    ask = client(stack).admin.organization.usage.completions
    answer = await asyncio.to_thread(
        ask, start_time=DAY, end_time=DAY + 6 * HOUR, bucket_width="1h", group_by=["model"], project_ids=["team-a"]
    )
    assert [bucket.start_time for bucket in answer.data] == [DAY + hour * HOUR for hour in range(6)]
    found = [[(each.model, each.num_model_requests) for each in bucket.results] for bucket in answer.data]
    assert found == [[("llama", 1), ("llama-lora", 1)], [], [], [], [], [("llama", 1)]]
    first = answer.data[0].results[0]
    assert (first.input_tokens, first.input_cached_tokens, first.output_tokens) == (100, 40, 10)
    assert answer.has_more is False
