"""What is heard of a watch that is tampered with, and at which call a fault strikes."""

import json
from collections.abc import AsyncIterator, Callable

import pytest

from tests.chaos.operator.faults import (
    Step,
    Tampered,
    at_write,
    doubled,
    dropped,
    expired,
    late,
    on,
    refuses,
    reordered,
)
from tests.chaos.operator.proxy import Call, call_of

WATCH = call_of("GET", "/api/v1/services", {"watch": "true"})
HEARD: dict[str, tuple[Callable[[], Step], str, int]] = {
    "one late": (late(1), "abc", 1),
    "later than all": (late(9), "", 4),
    "second dropped": (dropped(2), "acd", 1),
    "doubled": (doubled, "aabbccdd", 4),
    "reordered": (reordered, "badc", 4),
}


async def _lines() -> AsyncIterator[bytes]:
    for letter in "abcd":
        yield letter.encode()


@pytest.mark.parametrize(("new_step", "heard", "count"), HEARD.values(), ids=HEARD)
async def test_what_is_heard_of_a_watch(new_step: Callable[[], Step], heard: str, count: int) -> None:
    tampered = Tampered(frozenset({"services"}), new_step)
    assert b"".join([line async for line in tampered.events(WATCH, _lines())]).decode() == heard
    assert tampered.count >= min(count, 1)


async def test_other_kinds_are_heard_as_they_come() -> None:
    tampered = Tampered(frozenset({"pods"}), dropped(1))
    assert [line async for line in tampered.events(WATCH, _lines())] == [b"a", b"b", b"c", b"d"]
    assert tampered.count == 0


async def test_a_watch_that_expires_says_so_in_the_api_servers_form() -> None:
    tampered = Tampered(frozenset({"services"}), expired(1))
    first, second, *_ = [line async for line in tampered.events(WATCH, _lines())]
    assert (first, json.loads(second)["type"], json.loads(second)["object"]["code"]) == (b"a", "ERROR", 410)


def test_a_fault_strikes_at_one_write_only() -> None:
    fault, write = refuses(500), call_of("DELETE", "/api/v1/namespaces/a/services/m", {})
    rule = at_write(2, fault)
    assert [rule(call) is fault for call in (write, WATCH, write, write)] == [False, False, True, False]


def test_a_fault_strikes_at_all_calls_that_match() -> None:
    fault = refuses(503)

    def is_a_watch(call: Call) -> bool:
        return call.verb == "watch"

    assert on(is_a_watch, fault)(WATCH) is fault
    assert on(is_a_watch, fault)(call_of("GET", "/api/v1/services", {})) is None
