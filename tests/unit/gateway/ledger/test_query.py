"""Questions about usage: buckets, pages, filters, and what is wrong with a question."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_gateway.ledger.answers import Said
from llmservice_gateway.ledger.query import Bucket, Kind, by_name, usage_query

KIND = Kind(("project_id", "model"), ("project_ids", "models"), ("1m", "1h", "1d"))
H = 3600
NOW = 100 * 24 * H + 5 * H + 61


def asked(**query: str | list[str]) -> Any:
    return usage_query({name: [text] if isinstance(text, str) else text for name, text in query.items()}, KIND, NOW)


@pytest.mark.parametrize(
    ("query", "buckets"),
    [
        pytest.param({"start_time": "0", "end_time": "7200"}, [(0, H), (H, 2 * H)], id="whole ones"),
        pytest.param({"start_time": "1800", "end_time": "5400"}, [(1800, H), (H, 5400)], id="parts at both ends"),
        pytest.param({"start_time": "1800", "end_time": "2400"}, [(1800, 2400)], id="a part of one"),
        pytest.param({"start_time": "119", "end_time": "121"}, [(60, 180)], id="to the minute"),
        pytest.param({"start_time": str(NOW - H)}, [(NOW - H - 1, NOW - 61), (NOW - 61, NOW - 61 + H)], id="to now"),
        pytest.param({"start_time": str(NOW + 10 * H)}, [], id="in the future"),
    ],
)
def test_buckets_are_whole_hours_but_for_the_ends(query: dict[str, str], buckets: list[tuple[int, int]]) -> None:
    found = asked(bucket_width="1h", **query)
    assert [(each.start, each.end) for each in found.buckets] == buckets
    assert found.next_page is None


@given(
    start=st.integers(0, 10**7),
    length=st.integers(1, 10**6),
    limit=st.integers(1, 31),
    width=st.sampled_from(["1h", "1d"]),
)
def test_pages_join_without_a_gap(start: int, length: int, limit: int, width: str) -> None:
    query = {"start_time": str(start), "end_time": str(start + length), "bucket_width": width, "limit": str(limit)}
    found: list[Bucket] = []
    page: dict[str, str] = {}
    while True:
        answer = asked(**query, **page)
        assert 0 < len(answer.buckets) <= limit
        found += answer.buckets
        if answer.next_page is None:
            break
        page = {"page": answer.next_page}
    assert found[0].start <= start
    assert found[-1].end >= start + length
    assert all(one.end == other.start for one, other in pairwise(found))


def test_groups_and_filters() -> None:
    query = by_name(
        [("start_time", "0"), ("group_by[]", "model"), ("group_by", "project_id"), ("models", "a"), ("models", "b")]
    )
    found = usage_query(query, KIND, NOW)
    assert (found.groups, found.filters) == (("model", "project_id"), {"models": ("a", "b")})


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ({}, "start_time", "missing_parameter"),
        ({"start_time": "soon"}, "start_time", "invalid_value"),
        ({"start_time": "-1"}, "start_time", "invalid_value"),
        ({"start_time": "1.5"}, "start_time", "invalid_value"),
        ({"start_time": "٣"}, "start_time", "invalid_value"),
        ({"start_time": "999999999999"}, "start_time", "invalid_value"),
        ({"start_time": ["1", "2"]}, "start_time", "invalid_value"),
        ({"start_time": "5", "end_time": "5"}, "end_time", "invalid_value"),
        ({"start_time": "5", "bucket_width": "1w"}, "bucket_width", "invalid_value"),
        ({"start_time": "5", "limit": "0"}, "limit", "invalid_value"),
        ({"start_time": "5", "limit": "32"}, "limit", "invalid_value"),
        ({"start_time": "5", "group_by": "colour"}, "group_by", "invalid_value"),
        ({"start_time": "5", "page": "2"}, "page", "invalid_value"),
        ({"start_time": "5", "page": "page_4"}, "page", "invalid_value"),
        ({"start_time": "5", "models": ["m"] * 201}, "models", "invalid_value"),
        ({"start_time": "5", "models": "m" * 257}, "models", "invalid_value"),
        ({"start_time": "5", "models": "a\0"}, "models", "invalid_value"),
        ({"start_time": "5", "models": "\udc80"}, "models", "invalid_value"),
        ({"start_time": "5", "user_ids": "u"}, "user_ids", "unknown_parameter"),
    ],
)
def test_what_is_wrong_is_named(query: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(Said) as said:
        asked(**query)
    assert (said.value.error.status, said.value.error.param, said.value.error.code) == (400, param, code)
