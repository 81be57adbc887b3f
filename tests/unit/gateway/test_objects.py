"""Objects that are not as the schema says: less is read, nothing is raised."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmservice_api.base import seconds
from llmservice_api.scaling import Scaling
from llmservice_gateway import objects
from llmservice_gateway.desired import desired_maps
from llmservice_gateway.mapdiff import changes
from llmservice_gateway.objects import IDLE, Address, Wake
from tests.unit.gateway.builders import apikey, llmservice


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:80", Address("10.0.0.1", 80)),
        ("[fd00::1]:65535", Address("fd00::1", 65535)),
        *(
            (text, None)
            for text in ("", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "h:80", "10.0.0.1:٣", "1:2;x", None, 7)
        ),
    ],
)
def test_addresses(text: object, address: Address | None) -> None:
    assert objects.address(text) == address


@pytest.mark.parametrize("status", [{}, None, {"id": "probe"}, {"id": "x" * 16}, {"id": 7, "digest": []}])
def test_a_key_that_was_not_issued_is_none(status: Any) -> None:
    assert objects.key(apikey(1) | {"status": status}) is None


@pytest.mark.parametrize("metadata", [{}, None, {"name": "a"}, {"name": "A b", "namespace": "x"}, {"name": 1}])
def test_a_service_without_a_usable_name_is_none(metadata: Any) -> None:
    assert objects.service(llmservice("a") | {"metadata": metadata}) is None


def test_names_that_no_map_can_hold_open_nothing() -> None:
    odd = ["llama:a b", "llama:a;b", "llama:a\nb", "llama:\u00e9", "", "[a]"]
    key, service = objects.key(apikey(1, models=[*odd, "llama:a"])), objects.service(llmservice("llama", dynamic=True))
    assert key is not None
    assert service is not None
    assert key.models == ("llama:a",)
    todo = changes({}, desired_maps([service], [key], "0" * 64))
    assert any("llama:a" in change.command(Path("/maps")) for change in todo)


def test_a_wake_stands_as_long_for_the_gateway_as_for_the_operator() -> None:
    known = [objects.service(llmservice("a", **fields)) for fields in ({}, {"idle": "90s"})]
    assert [service and service.idle for service in known] == [IDLE, 90]
    assert seconds(Scaling().idle_after) == IDLE


def test_what_is_odd_in_a_wake_counts_for_nothing() -> None:
    wakes = {
        "a": {"requestedAt": "1970-01-01T00:00:01Z", "requests": 2},
        "b": {"requestedAt": "x", "requests": -1},
        "c": 1,
    }
    service = objects.service(llmservice("a", wakes=wakes))
    assert service is not None
    assert service.wakes == {"a": Wake(1000, 2), "b": Wake(), "c": Wake()}


def test_what_gateways_say_of_a_service_makes_it_no_other() -> None:
    said = {"a": {"requestedAt": "1970-01-01T00:00:01Z", "requests": 2}}
    assert objects.service(llmservice("a", wakes=said)) == objects.service(llmservice("a"))


ODD = ["", "x", "a/b", "é\0", "0" * 64, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1.1.1.1:1"]
JSON: st.SearchStrategy[Any] = st.sampled_from([None, True, 7, -1.5, [], [1, "a", None], {}, {"name": []}, *ODD])
PARTS = st.sampled_from(
    [
        *("metadata", "spec", "status", "model", "name", "aliases", "address", "endpoint", "host", "access", "mode"),
        *("id", "digest", "expiresAt", "models", "creationTimestamp", "deletionTimestamp"),
        *("previous", "validUntil", "limits", "parallel", "role"),
        *("scaling", "idleAfter", "wakes", "requestedAt", "requests"),
    ]
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(PARTS, JSON | st.dictionaries(PARTS, JSON | st.dictionaries(PARTS, JSON))))
def test_nothing_makes_them_raise(raw: dict[str, Any]) -> None:
    named = raw | {"metadata": {"name": "a", "namespace": "b"}}
    for each in (raw, named):
        objects.service(each)
        objects.key(each)
    assert objects.service(named) is not None
