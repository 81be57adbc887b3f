import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.asgi import Message, Receive
from llmservice_worker.body import ClientGone, check_duplicates, check_headers, digest, dumped, parsed, read, replay
from llmservice_worker.errors import Refused
from tests.unit.worker.asgi_apps import error_of

JSON = b"application/json"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


def messages(*given: Message) -> Receive:
    left = list(given)

    async def receive() -> Message:
        return left.pop(0)

    return receive


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def chunk(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_pieces_is_read_whole() -> None:
    assert await read(messages(chunk(b"ab", True), chunk(b"", True), chunk(b"c")), 3) == b"abc"


async def test_a_body_is_refused_at_the_limit_and_no_further_read() -> None:
    with pytest.raises(Refused) as refused:
        await read(messages(chunk(b"ab", True), chunk(b"cd", True)), 3)
    assert refused.value.status == 413


async def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(ClientGone):
        await read(messages(chunk(b"ab", True), {"type": "http.disconnect"}), 3)


async def test_the_engine_reads_the_new_body_then_what_the_client_does() -> None:
    receive = replay(b"new", messages({"type": "http.disconnect"}))
    assert await receive() == chunk(b"new")
    assert (await receive())["type"] == "http.disconnect"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"content-type": JSON}, None),
        ({b"content-type": b"Application/JSON; charset=utf-8", b"content-length": b"10"}, None),
        ({b"content-type": JSON, b"content-encoding": b"identity"}, None),
        ({}, 415),
        ({b"content-type": b"text/plain"}, 415),
        ({b"content-type": b"application/x-www-form-urlencoded"}, 415),
        ({b"content-type": JSON, b"content-encoding": b"gzip"}, 415),
        ({b"content-type": JSON, b"content-length": b"11"}, 413),
        ({b"content-type": JSON, b"content-length": b"9" * 5000}, 413),
    ],
)
def test_headers_decide_before_a_byte_is_read(headers: dict[bytes, bytes], status: int | None) -> None:
    if status is None:
        check_headers(headers.items(), JSON, 10)
        return
    with pytest.raises(Refused) as refused:
        check_headers(headers.items(), JSON, 10)
    assert refused.value.status == status


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"nul", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":"\\ud800"}', b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}', b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b"\xef\xbb\xbf{}", b"{'a':1}",
        b'{"a":[' + b"{}," * 300_000 + b"{}]}", b'{"a":1,}', b"[]", b'"a"', b"null", b'{"a":' + b"9" * 5000 + b"}",
        b"{}{}", b'{"a":"\n"}',
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parsed(raw)
    assert refused.value.status == 400
    assert "JSON" in error_of(refused.value.body)["message"]


def test_an_object_is_parsed_as_it_is() -> None:
    body = {"a": [1, 2.5, None, True, "é\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")], "b": {}}
    assert parsed(json.dumps(body).encode()) == body


@pytest.mark.parametrize("raw", [b'{"model":"a","model":"b"}', b'{"a":[{"b":1,"c":2,"b":1}]}', b'{"a":1,"\\u0061":2}'])
def test_a_key_that_is_there_twice_is_named(raw: bytes) -> None:
    assert parsed(raw)
    with pytest.raises(Refused) as refused:
        check_duplicates(raw)
    assert "twice" in error_of(refused.value.body)["message"]


def test_one_key_in_two_objects_is_no_duplicate() -> None:
    check_duplicates(b'{"a":{"a":1},"b":[{"a":1},{"a":2}]}')


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_is_too_large_for_a_number_is_refused(number: str) -> None:
    with pytest.raises(Refused, match="out of range") as refused:
        dumped(parsed(f'{{"a":{{"b":[{number}]}}}}'.encode()))
    assert refused.value.status == 400


def test_what_only_looks_like_such_a_number_passes() -> None:
    body = {"Infinity": "-Infinity", "b": 1e300, "c": -0.0, "d": 10**400}
    assert json.loads(dumped(body)) == body


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20))
def test_what_is_written_is_what_was_read(value: Any) -> None:
    written = dumped({"": value})
    assert parsed(written) == json.loads(written) == {"": value}


def test_the_deepest_body_that_is_read_is_written_too() -> None:
    with pytest.raises(Refused):
        parsed(nested(202))
    assert dumped({"": parsed(nested(201))}) == b'{"":' + nested(201) + b"}"


def test_digests_do_not_mix_up_parts() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
