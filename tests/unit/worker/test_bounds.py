import pytest

from llmservice_worker.bounds import DistinctGrammars, IdempotencyKeys
from llmservice_worker.errors import Refused


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def name(number: int) -> bytes:
    return str(number).encode()


def test_a_thousand_distinct_grammars_in_a_minute_are_too_many() -> None:
    grammars = DistinctGrammars(Clock(), most=60)
    for number in range(60):
        grammars.admit("key", name(number))
    for number in range(60, 1000):
        with pytest.raises(Refused) as refused:
            grammars.admit("key", name(number))
        assert (refused.value.status, dict(refused.value.headers)) == (429, {b"retry-after": b"61"})


def test_one_grammar_may_be_used_as_often_as_one_likes_and_keys_do_not_share() -> None:
    grammars = DistinctGrammars(Clock(), most=1)
    for _ in range(100):
        grammars.admit("a", b"x")
        grammars.admit("b", b"y")
    with pytest.raises(Refused):
        grammars.admit("a", b"y")


def test_after_a_minute_there_is_room_again() -> None:
    clock = Clock()
    grammars = DistinctGrammars(clock, most=2)
    grammars.admit("key", b"a")
    clock.now += 30
    grammars.admit("key", b"b")
    with pytest.raises(Refused) as refused:
        grammars.admit("key", b"c")
    assert dict(refused.value.headers)[b"retry-after"] == b"31"
    clock.now += 30
    grammars.admit("key", b"c")
    with pytest.raises(Refused):
        grammars.admit("key", b"d")


def test_what_is_remembered_of_grammars_is_bounded() -> None:
    grammars = DistinctGrammars(Clock(), most=2)
    for number in range(10_000):
        grammars.admit(str(number), b"a")
    assert len(grammars._seen) == 4096


def test_an_idempotency_key_stands_for_one_request() -> None:
    keys = IdempotencyKeys(Clock())
    keys.admit("key", b"one", "/v1/completions", b"{}")
    keys.admit("key", b"one", "/v1/completions", b"{}")
    keys.admit("other", b"one", "/v1/completions", b'{"a":1}')
    for path, body in (("/v1/completions", b'{"a":1}'), ("/v1/chat/completions", b"{}")):
        with pytest.raises(Refused) as refused:
            keys.admit("key", b"one", path, body)
        assert (refused.value.status, dict(refused.value.headers)) == (409, {b"x-should-retry": b"false"})


def test_an_idempotency_key_is_forgotten_after_a_day() -> None:
    clock = Clock()
    keys = IdempotencyKeys(clock)
    keys.admit("key", b"one", "/", b"a")
    clock.now += 86_399
    with pytest.raises(Refused):
        keys.admit("key", b"one", "/", b"b")
    clock.now += 1
    keys.admit("key", b"one", "/", b"b")
    with pytest.raises(Refused):
        keys.admit("key", b"one", "/", b"a")


def test_idempotency_keys_are_bounded() -> None:
    keys = IdempotencyKeys(Clock())
    with pytest.raises(Refused) as refused:
        keys.admit("key", b"x" * 256, "/", b"")
    assert refused.value.status == 400
    for number in range(20_000):
        keys.admit("key", name(number), "/", b"")
    assert len(keys._seen) == 16_384
