"""What is put is got, whole or packed; and only so many stay whole."""

from typing import Any

import pytest

from llmservice_operator.packed import Packed

OBJECTS: dict[str, dict[str, Any]] = {
    name: {"metadata": {"name": name}, "spec": {"text": "ü" * 9, "list": [1, None, 2.5, True, {}]}} for name in "abcd"
}


@pytest.fixture
def packed() -> Packed[str]:
    found: Packed[str] = Packed(recent=2)
    for name, obj in OBJECTS.items():
        found.put(name, obj)
    return found


def test_all_are_got_as_they_were_put_and_the_last_ones_are_the_same_objects(packed: Packed[str]) -> None:
    assert {name: packed.glance(name) for name in OBJECTS} == OBJECTS
    assert [packed.glance(name) is OBJECTS[name] for name in OBJECTS] == [False, False, True, True]


def test_what_is_got_stays_whole_and_what_was_got_before_goes(packed: Packed[str]) -> None:
    again = packed.get("a")
    assert packed.get("a") is again
    assert packed.glance("c") is not OBJECTS["c"]
    assert packed.get("d") is OBJECTS["d"]


def test_what_is_put_again_takes_the_place_of_what_was_there(packed: Packed[str]) -> None:
    for name in ("a", "d"):
        packed.put(name, {"metadata": {"name": name}})
        assert packed.get(name) == {"metadata": {"name": name}}


def test_what_was_dropped_is_no_more(packed: Packed[str]) -> None:
    for name in ("a", "d"):
        packed.drop(name)
        with pytest.raises(KeyError):
            packed.get(name)
        with pytest.raises(KeyError):
            packed.drop(name)
