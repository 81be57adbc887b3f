"""What the ledger is told and what it says, as values."""

from typing import Any

import pytest

from llmservice_gateway import objects
from llmservice_gateway.limits import Block, NotUnderstood, Told, Usage, blocked, requests_here, told, windows
from llmservice_gateway.objects import NEVER, Key
from tests.unit.gateway.builders import apikey

K1, K2 = f"{1:016x}", f"{2:016x}"
NOW = 29_923_492
TABLE = f"""\
# table: requests, type: string, size:100000, used:4
0x55f1eaa31588: key={K1}:{NOW} use=0 exp=69188 gpc0=5
0x55f1eaa31589: key={K2}:{NOW} use=1 exp=69188 shard=0 gpc0=17
0x55f1eaa3158a: key={K1}:{NOW - 1} use=0 exp=9188 gpc0=99
0x55f1eaa3158b: key=nonsense use=0 exp=9188 gpc0=99

"""


def test_of_the_table_only_this_minute_is_told() -> None:
    assert requests_here(TABLE, NOW) == {K1: {"minute": NOW, "count": 5}, K2: {"minute": NOW, "count": 17}}
    assert requests_here("", NOW) == {}


def test_an_answer_is_read() -> None:
    said = {
        "version": 7,
        "keys": {K1: {"minute": NOW, "requests": 2, "tokens": 3}},
        "blocks": {K2: {"until": 1000, "budget": "team"}},
    }
    assert told(said) == Told(7, {K1: Usage(NOW, 2, 3)}, {K2: Block(1000, "team")})


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], {}, {"version": 1}, {"version": "x", "keys": {}, "blocks": {}}),
        {"version": 1, "keys": [], "blocks": {}},
        {"version": float("inf"), "keys": {}, "blocks": {}},
        {"version": 1, "keys": {K1: {"minute": NOW}}, "blocks": {}},
        {"version": 1, "keys": {}, "blocks": {K1: {"until": "soon", "budget": "b"}}},
    ],
)
def test_what_is_no_answer_is_said(answer: Any) -> None:
    with pytest.raises(NotUnderstood):
        told(answer)


def keys(*raws: Any) -> list[Key]:
    return [key for key in map(objects.key, raws) if key is not None]


LIMITED: Any = {"limits": {"tokensPerMinute": 9}}
ROTATED = apikey(1, previous=2, until="2030-01-01T00:00:00Z", **LIMITED)
USED = Usage(NOW, 2, 30)
WINDOWS: dict[str, tuple[list[Any], dict[str, Usage], dict[str, tuple[int, int]]]] = {
    "nothing": ([apikey(1, **LIMITED)], {}, {}),
    "a limited key": ([apikey(1, **LIMITED)], {K1: USED}, {f"{K1}:{NOW}": (2, 30)}),
    "a key without limits": ([apikey(1)], {K1: USED}, {}),
    "a key that is gone": ([], {K1: USED}, {}),
    "both keys of a rotation": ([ROTATED], {K1: USED, K2: Usage(NOW, 1, 5)}, {f"{K1}:{NOW}": (3, 35)}),
    "the key before alone": ([ROTATED], {K2: USED}, {f"{K1}:{NOW}": (2, 30)}),
    "another minute of the key before": (
        [ROTATED],
        {K1: USED, K2: Usage(NOW - 1, 1, 5)},
        {f"{K1}:{NOW}": (2, 30), f"{K1}:{NOW - 1}": (1, 5)},
    ),
    "more than a counter holds": (
        [apikey(1, **LIMITED)],
        {K1: Usage(NOW, 2**40, 2**40)},
        {f"{K1}:{NOW}": (2**32 - 1, 2**32 - 1)},
    ),
}


@pytest.mark.parametrize(("raws", "used", "found"), WINDOWS.values(), ids=WINDOWS)
def test_what_was_used_of_a_minute(raws: list[Any], used: dict[str, Usage], found: Any) -> None:
    assert windows(Told(1, used, {}), keys(*raws)) == found


BLOCKS: dict[str, tuple[list[Any], dict[str, Block], dict[str, str]]] = {
    "nothing": ([apikey(1)], {}, {}),
    "a block": ([apikey(1)], {K1: Block(5, "team.a")}, {K1: "5|team.a"}),
    "a key that is gone": ([], {K1: Block(5, "b")}, {}),
    "a block of a rotated key": ([ROTATED], {K2: Block(5, "b")}, {K1: "5|b", K2: "5|b"}),
    "the longest of two": ([ROTATED], {K1: Block(5, "a"), K2: Block(6, "b")}, {K1: "6|b", K2: "6|b"}),
    "for ever": ([apikey(1)], {K1: Block(2**63, "b")}, {K1: f"{NEVER}|b"}),
    "a name that is none": ([apikey(1)], {K1: Block(5, "x; del map")}, {K1: "5|-"}),
}


@pytest.mark.parametrize(("raws", "blocks", "found"), BLOCKS.values(), ids=BLOCKS)
def test_whom_budgets_close(raws: list[Any], blocks: dict[str, Block], found: Any) -> None:
    assert blocked(Told(1, {}, blocks), keys(*raws)) == {"blocks": found}
