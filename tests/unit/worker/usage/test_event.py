"""What an event says of a request that has ended."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from llmservice_worker.access import Access
from llmservice_worker.args import Origin
from llmservice_worker.routes import ROUTES
from llmservice_worker.tasks.app import PATHS as TASKS
from llmservice_worker.usage.event import instant, route_name, usage_event
from llmservice_worker.usage.tally import Tally
from tests.unit.worker.usage.outputs import output

NOW = datetime(2026, 11, 23, 4, 5, 6, 789_600, tzinfo=UTC)
ORIGIN = Origin(namespace="team-a", service="smol", revision="smol-abc123")
ACCESS = Access(
    request_id="req_1", key_id="0123456789abcdef", route="team-a/smol", method="POST", path="/v1/chat/completions",
    model="smollm2", status=200, duration_ms=1500.6, ttft_ms=41.4, stream=True, outcome="completed",
)  # fmt: skip


def tally() -> Tally:
    """Of a request with some tokens."""
    found = Tally("e" * 32, "smollm2")
    found.begin().generated(output(5, prompt=16, cached=12))
    return found


def test_an_event_has_the_ledgers_columns_and_no_other() -> None:
    line = usage_event(tally(), "smollm2", ACCESS, ORIGIN, ("smollm2", "small"), NOW).line()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "id": "e" * 32,
        "time": "2026-11-23T04:05:06.789Z",
        "request_id": "req_1",
        "key_id": "0123456789abcdef",
        "namespace": "team-a",
        "service": "smol",
        "revision": "smol-abc123",
        "model": "smollm2",
        "adapter": None,
        "route": "chat/completions",
        "prompt_tokens": 16,
        "cached_tokens": 12,
        "completion_tokens": 5,
        "outcome": "completed",
        "status": 200,
        "stream": True,
        "duration_ms": 1501,
        "ttft_ms": 41,
    }


@pytest.mark.parametrize(("model", "adapter"), [("small", None), ("sql", "sql"), ("smollm2:sql", "smollm2:sql")])
def test_any_name_but_the_models_own_is_an_adapters(model: str, adapter: str | None) -> None:
    event = usage_event(tally(), model, ACCESS, ORIGIN, ("smollm2", "small"), NOW)
    assert (event.model, event.adapter) == (model, adapter)


def test_what_was_never_sent_is_null() -> None:
    access = dataclasses.replace(ACCESS, status=None, ttft_ms=None, outcome="client_left")
    event = usage_event(tally(), "smollm2", access, ORIGIN, ("smollm2",), NOW)
    assert (event.status, event.ttft_ms, event.outcome) == (None, None, "client_left")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/chat/completions", "chat/completions"),
        ("/v1/engines/org/smol/completions", "completions"),
        ("/v2/rerank", "rerank"),
        ("/classify", "classify"),
        ("/v1/tasks/summarize", "tasks/summarize"),
        ("/v1/messages/count_tokens", "messages/count_tokens"),
    ],
)
def test_a_route_is_named_without_its_version(path: str, route: str) -> None:
    assert route_name(path) == route


@pytest.mark.parametrize("path", sorted({*ROUTES, *TASKS}))
def test_every_route_has_a_short_name_of_few_characters(path: str) -> None:
    name = route_name(path)
    assert 0 < len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_/.-")


def test_an_instant_is_utc_wherever_the_clock_stands() -> None:
    assert instant(NOW.astimezone(timezone(timedelta(hours=9)))) == instant(NOW) == "2026-11-23T04:05:06.789Z"
