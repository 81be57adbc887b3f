"""What is read of a large JSON body, against Python's own reader."""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_gateway import errors
from llmservice_gateway.body_fields import Fields, fields
from llmservice_gateway.errors import ApiError, Refused

WINDOW = 64 * 1024


def refused(raw: bytes) -> ApiError | None:
    """The error that a body gets, None where it is taken."""
    try:
        fields(raw)
    except Refused as refusal:
        return refusal.error
    return None


TAKEN = [
    (b"{}", Fields()),
    (b' \n\t{"model" : "m" , "stream" : true } \r\n', Fields("m", stream=True)),
    (b'{"stream": false, "model": "a\\/b\\u003ac"}', Fields("a/b:c")),
    (b'{"stream": "true", "model": "m"}', Fields("m")),
    (b'{"a": {"model": "x", "b": [{"stream": true}]}, "model": "m"}', Fields("m")),
    (b'{"a": "\\"model\\": \\"x\\"", "mod\\u0065l": "m"}', Fields("m")),
    (b'{"a": -1.5e+10, "b": [], "c": null, "model": "m"}', Fields("m")),
    (b'{"a": "\xff\xfe", "model": "m"}', Fields("m")),
    (b'{"model": "\\ud800"}', Fields("\ud800")),
    (b'{"model": "' + b"m" * 5000 + b'"}', Fields("m" * 128)),
]


@pytest.mark.parametrize(("raw", "found"), TAKEN)
def test_taken(raw: bytes, found: Fields) -> None:
    assert fields(raw) == found


REFUSED = [
    *((raw, errors.BODY_NOT_JSON) for raw in (b"", b" ", b"hello", b'["model"]', b'"model"', b"{", b'{"a"', b'{"a":')),
    *(
        (raw, errors.BODY_NOT_JSON)
        for raw in (b'{"a": 1', b'{"a": 1,', b'{"a": 1,}', b'{"a": 1} x', b"{a: 1}", b'{"a" 1}')
    ),
    *(
        (raw, errors.BODY_NOT_JSON)
        for raw in (b'{"a": "', b'{"a": "\\"', b'{"a": [}', b'{"a": [1}', b'{"a": {"b": 1]}')
    ),
    *(
        (raw, errors.BODY_NOT_JSON)
        for raw in (b'{"a": NaN}', b'{"a": 01}', b'{"a": tru}', b'{"a": +1}', b"\xef\xbb\xbf{}")
    ),
    *((raw, errors.BODY_NOT_JSON) for raw in (b'{"mod\\u00e": 1}', b'{"model": "\\x"}', '{"a": 1}'.encode("utf-16"))),
    *((b'{"model": %s}' % value, errors.MODEL_MISSING) for value in (b"null", b"1", b"true", b"{}", b"[]", b'["m"]')),
    (b'{"model": "m", "model": "m"}', errors.MODEL_TWICE),
    (b'{"mod\\u0065l": 1, "a": {}, "model": "m"}', errors.MODEL_TWICE),
    (b'{"a": ' + b"[" * 300_001 + b"]" * 300_001 + b"}", errors.BODY_TOO_COMPLEX),
    (b"{" + b'"a": 1,' * 1001 + b'"model": "m"}', errors.BODY_TOO_COMPLEX),
]


@pytest.mark.parametrize(("raw", "error"), REFUSED)
def test_refused(raw: bytes, error: ApiError) -> None:
    assert refused(raw) is error


@pytest.mark.parametrize(("raw", "error"), REFUSED)
def test_a_body_that_was_refused_is_let_go(raw: bytes, error: ApiError) -> None:
    body = bytes(bytearray(raw + b" "))
    kept = sys.getrefcount(body)
    assert [refused(body) for _ in range(3)] == [error] * 3
    assert sys.getrefcount(body) == kept


@pytest.mark.parametrize("shift", range(-4, 4))
@pytest.mark.parametrize("piece", [b"x", b'\\"', b"\\\\", b"\\u0041"])
def test_windows_end_anywhere(piece: bytes, shift: int) -> None:
    text = b"x" * (WINDOW + shift) + piece * (WINDOW // len(piece))
    assert fields(b'{"a": "%s", "b": ["%s"], "model": "m"}' % (text, text)) == Fields("m")
    assert fields(b'{"a": 1%s, "model": "m"}' % (b" " * (WINDOW + shift))) == Fields("m")


async def test_others_go_on_while_a_thread_looks_through_megabytes() -> None:
    """It stops for them again and again; a reader that is one call into C would not."""
    raw = b'{"a": [' + b'[1, ""],' * 290_000 + b'1], "model": "m"}'
    stops, last = 0, time.monotonic()
    with ThreadPoolExecutor(1) as thread:
        looking = asyncio.get_running_loop().run_in_executor(thread, fields, raw)
        while not looking.done():
            await asyncio.sleep(0)
            stops += time.monotonic() - last > 0.001
            last = time.monotonic()
    assert looking.result() == Fields("m")
    assert stops >= 5


TOP = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
KEYS = st.sampled_from(["model", "stream", "a", 'mo"del', "\\", "{"]) | st.text()


@given(st.dictionaries(KEYS, TOP), st.booleans(), st.sampled_from([None, 1]))
def test_what_pythons_reader_finds(body: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    model = body.get("model")
    if "model" in body and not isinstance(model, str):
        assert refused(raw) is errors.MODEL_MISSING
    elif model is None or len(model) <= 100:
        assert fields(raw) == Fields(model, body.get("stream") is True)


@given(st.binary() | st.text(alphabet='{}[]":,\\model1 u0', max_size=40).map(str.encode))
def test_any_bytes_are_taken_or_refused_and_what_is_json_is_taken_for_it(raw: bytes) -> None:
    error = refused(raw)
    try:
        found = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return
    assert (error is errors.BODY_NOT_JSON) is not isinstance(found, dict)


def _no_constant(name: str) -> None:
    raise ValueError(name)
