"""What gateways are told of the minutes that limits speak of."""

from llmservice_gateway.ledger.counts import Counts, Use


def test_a_gateway_hears_of_the_others_and_of_all_tokens() -> None:
    counts = Counts()
    counts.add_tokens("k", 10, 7)
    counts.add_tokens("k", 10, 5)
    for gateway, count in (("a", 3), ("b", 4), ("b", 6)):
        counts.report(gateway, "k", 10, count)
    assert counts.for_gateway("a", 12) == {"k": Use(10, 6, 12)}
    assert counts.for_gateway("b", 12) == {"k": Use(10, 3, 12)}
    assert counts.for_gateway("c", 12) == {"k": Use(10, 9, 12)}


def test_a_report_that_comes_late_takes_nothing_back() -> None:
    counts = Counts()
    counts.report("a", "k", 10, 9)
    counts.report("a", "k", 10, 4)
    assert counts.for_gateway("b", 12)["k"].requests == 9


def test_the_newest_minute_of_each_key_is_told() -> None:
    counts = Counts()
    counts.add_tokens("k", 10, 7)
    counts.report("a", "k", 11, 2)
    counts.add_tokens("other", 10, 1)
    assert counts.for_gateway("b", 12) == {"k": Use(11, 2, 0), "other": Use(10, 0, 1)}


def test_other_minutes_are_forgotten() -> None:
    counts = Counts()
    for minute in (8, 9, 10, 11, 12):
        counts.add_tokens(f"at {minute}", minute, 1)
        counts.report("a", f"at {minute}", minute, 1)
    counts.forget(10)
    assert set(counts.for_gateway("b", 12)) == {"at 9", "at 10", "at 11"}


def test_a_clock_that_is_ahead_hides_nothing() -> None:
    counts = Counts()
    counts.report("a", "k", 10, 3)
    counts.report("b", "k", 11, 1)
    assert counts.for_gateway("c", 10) == {"k": Use(10, 3, 0)}
    assert counts.for_gateway("c", 11) == {"k": Use(11, 1, 0)}
