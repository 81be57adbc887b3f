"""What workers send is what the ledger takes, and what it refuses is what workers understand."""

import dataclasses
import json
from typing import Any

import pytest

from llmservice_gateway.errors import ApiError
from llmservice_gateway.ledger.answers import answer
from llmservice_gateway.ledger.event import MOST_BYTES, MOST_EVENTS, Event, Refused, parse
from llmservice_worker.access import KEY_ID, Access, AccessLog
from llmservice_worker.usage import ledger
from llmservice_worker.usage.event import UsageEvent, usage_event
from tests.unit.worker.asgi_apps import ask, replies
from tests.unit.worker.usage.test_event import ACCESS, NOW, ORIGIN, tally


def event(**changed: Any) -> UsageEvent:
    """As a request that ended makes it, but for what is changed."""
    return dataclasses.replace(usage_event(tally(), "smollm2", ACCESS, ORIGIN, ("smollm2",), NOW), **changed)


def post(*events: UsageEvent) -> bytes:
    """The body of a post."""
    return json.dumps({"events": [json.loads(each.line()) for each in events]}).encode()


def test_both_name_the_same_columns() -> None:
    assert {field.name for field in dataclasses.fields(UsageEvent)} == set(Event.model_fields)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"key_id": ""},
        {"status": None, "ttft_ms": None, "outcome": "client_left", "stream": False},
        {"model": "org/base:sql", "adapter": "org/base:sql"},
        {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "outcome": "error", "status": 502},
    ],
)
def test_the_ledger_takes_what_workers_send(changed: dict[str, Any]) -> None:
    sent = event(**changed)
    (found,) = parse(post(sent))
    assert found.model_dump(exclude={"time"}) == {
        name: value for name, value in dataclasses.asdict(sent).items() if name != "time"
    }
    assert found.at == int(NOW.timestamp() * 1000)


def test_the_ledger_takes_as_many_in_a_post_as_workers_send() -> None:
    assert ledger.MOST_EVENTS == MOST_EVENTS


@pytest.mark.parametrize("key_id", ["a.b_c-D9", "k" * 64, "k" * 65, "a b", "a\tb", "ключ", ""])
async def test_no_key_id_that_is_sent_makes_an_event_that_the_ledger_refuses(key_id: str) -> None:
    told: list[Access] = []
    await ask(AccessLog(replies(200, b"{}"), [told.append], lambda: 0.0), headers=[(KEY_ID, key_id.encode())])
    (found,) = parse(post(event(key_id=told[0].key_id)))
    assert found.key_id in (key_id, "")


def test_a_full_post_of_the_longest_events_is_not_too_large() -> None:
    longest = event(model="m" * 128, adapter="m" * 128, request_id="r" * 128, key_id="k" * 64, service="s" * 253)
    assert len(post(*[longest] * ledger.MOST_EVENTS)) < MOST_BYTES


def test_a_worker_finds_the_event_that_the_ledger_refuses() -> None:
    with pytest.raises(Refused) as refused:
        parse(post(event(), event(prompt_tokens=-1), event()))
    error = ApiError(400, "invalid_event", str(refused.value), param=refused.value.param)
    body = answer(error).body
    assert isinstance(body, bytes)
    found = ledger.verdict(400, body, count=3)
    assert isinstance(found, ledger.Refused)
    assert found.index == 1
    assert "prompt_tokens" in found.message
