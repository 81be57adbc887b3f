"""How two states are compared."""

from typing import Any

import pytest

from tests.chaos.operator.state import differences

CASES: dict[str, tuple[Any, Any, list[str]]] = {
    "the same": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
    "a value": ({"a": {"b": 1}}, {"a": {"b": 2}}, [".a.b: 1 in place of 2"]),
    "one is missing": ({}, {"a": 1}, [".a: None in place of 1"]),
    "one too many": ({"a": 1}, {}, [".a: 1 in place of None"]),
    "in a list": ({"a": [1, 2]}, {"a": [1, 3]}, [".a.1: 2 in place of 3"]),
    "a longer list": ({"a": [1]}, {"a": [1, 2]}, [".a: [1] in place of [1, 2]"]),
}


@pytest.mark.parametrize(("found", "wanted", "said"), CASES.values(), ids=CASES)
def test_where_two_states_differ(found: Any, wanted: Any, said: list[str]) -> None:
    assert differences(found, wanted) == said
