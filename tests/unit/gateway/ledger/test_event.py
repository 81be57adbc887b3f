"""Events: what is taken, and what is said of what is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_gateway.ledger.event import MOST_EVENTS, Event, Refused, parse
from llmservice_worker.usage.event import UsageEvent
from tests.unit.gateway.ledger.builders import usage


def body(*events: Any) -> bytes:
    return json.dumps({"events": events}).encode()


def refusal(text: bytes) -> str | None:
    """What is said of a post, None where it is taken."""
    try:
        parse(text)
    except Refused as refused:
        return str(refused)
    return None


def test_what_is_sent_is_what_is_read() -> None:
    sent = usage(adapter="llama-lora", ttft_ms=80, status=None, outcome="client_left")
    (found,) = parse(body(sent))
    assert found.model_dump(exclude={"time"}) == {name: value for name, value in sent.items() if name != "time"}


def test_the_fields_are_the_workers() -> None:
    assert list(Event.model_fields) == list(UsageEvent.__annotations__)


def test_a_post_may_be_empty_and_holds_500_events() -> None:
    assert parse(body()) == []
    assert len(parse(body(*[usage() for _ in range(MOST_EVENTS)]))) == MOST_EVENTS


@pytest.mark.parametrize(
    ("time", "at"),
    [
        ("2026-03-01T12:00:00.123Z", 1772366400123),
        ("2026-03-01T12:00:00Z", 1772366400000),
        ("2026-03-01T14:00:00.5+02:00", 1772366400500),
        ("1969-12-31T23:59:59Z", -1000),
        ("9999-12-31T23:59:59.999Z", 253402300799999),
    ],
)
def test_times_are_instants(time: str, at: int) -> None:
    assert parse(body(usage(time)))[0].at == at


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "0123"),
        ("id", "G" * 32),
        ("id", 7),
        ("time", "2026-03-01"),
        ("time", "2026-03-01T12:00:00"),
        ("time", 1772366400),
        ("time", "yesterday"),
        ("namespace", ""),
        ("namespace", "Team"),
        ("namespace", "a" * 64),
        ("key_id", None),
        ("key_id", "a b"),
        ("model", "a\u0000b"),
        ("model", "m" * 257),
        ("model", None),
        ("adapter", 1),
        ("route", "/v1/"),
        ("route", ""),
        ("prompt_tokens", -1),
        ("prompt_tokens", 1.5),
        ("prompt_tokens", "7"),
        ("prompt_tokens", True),
        ("prompt_tokens", 10**30),
        ("cached_tokens", None),
        ("outcome", "done"),
        ("status", 99),
        ("status", "200"),
        ("stream", 1),
        ("duration_ms", -1),
        ("ttft_ms", 10**13),
        ("extra", "x"),
    ],
)
def test_a_wrong_field_is_named_with_its_events_index(field: str, value: Any) -> None:
    with pytest.raises(Refused) as refused:
        parse(body(usage(), usage(), usage(**{field: value}) | ({"time": value} if field == "time" else {})))
    assert refused.value.param == f"events[2].{field}"
    assert str(refused.value).startswith(f"events[2].{field}: ")


@pytest.mark.parametrize("field", list(usage()))
def test_no_field_may_be_missing(field: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(body({name: value for name, value in usage().items() if name != field}))
    assert refused.value.param == f"events[0].{field}"


def test_cached_tokens_are_a_part_of_the_prompts() -> None:
    with pytest.raises(Refused, match="part of") as refused:
        parse(body(usage(prompt_tokens=3, cached_tokens=4)))
    assert refused.value.param == "events[0]"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'{"events": {}}', b'{"events": [], "more": 1}', b"\xff\xfe", b"[" * 100_000, b"{}"],
)
def test_what_is_no_post_is_refused_as_a_whole(text: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse(text)
    assert "[" not in (refused.value.param or "")


def test_501_events_are_too_many() -> None:
    with pytest.raises(Refused, match="500"):
        parse(body(*[usage() for _ in range(MOST_EVENTS + 1)]))


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(Refused) as refused:
        parse(body(usage(model="private" * 100)))
    assert "private" not in str(refused.value)


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_or_refused(text: bytes) -> None:
    assert refusal(text) != ""


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(usage())), _JSON, max_size=3))
def test_any_values_are_taken_or_refused(values: dict[str, Any]) -> None:
    said = refusal(body(usage() | values))
    assert said is None or said.startswith("events[0]")
