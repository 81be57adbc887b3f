"""How many reports are made at once, and by whom."""

import asyncio
import threading
from contextlib import ExitStack, suppress

import pytest

from llmservice_gateway.ledger.answers import TOO_MANY_REPORTS, Said, answer
from llmservice_gateway.ledger.bulkhead import MOST, MOST_OF_ONE, Bulkhead
from llmservice_gateway.ledger.database import READERS


def refused(bulkhead: Bulkhead, scope: str | None) -> bool:
    try:
        with bulkhead.place(scope):
            return False
    except Said:
        return True


@pytest.mark.parametrize("scope", ["team-a", None], ids=["a namespace", "all of them"])
def test_one_admin_leaves_places_to_the_others(scope: str | None) -> None:
    bulkhead = Bulkhead()
    with ExitStack() as taken:
        for _ in range(MOST_OF_ONE):
            taken.enter_context(bulkhead.place(scope))
        assert refused(bulkhead, scope)
        assert not refused(bulkhead, "team-b")
    assert not refused(bulkhead, scope)


def test_all_together_are_bounded_and_a_report_that_fails_gives_its_place_back() -> None:
    bulkhead = Bulkhead()
    with suppress(RuntimeError), ExitStack() as taken:
        for number in range(MOST):
            taken.enter_context(bulkhead.place(f"team-{number}"))
        assert refused(bulkhead, "another")
        raise RuntimeError("a report")
    assert not refused(bulkhead, "another")


def test_who_is_refused_is_told_to_ask_again() -> None:
    found = answer(TOO_MANY_REPORTS)
    assert (found.status, found.headers["retry-after"]) == (429, "2")
    assert b'"code": "rate_limit_exceeded"' in (found.body if isinstance(found.body, bytes) else b"")


async def test_so_many_read_at_once_and_the_others_wait() -> None:
    bulkhead = Bulkhead()
    reading, go_on = threading.Semaphore(0), threading.Event()

    def read(number: int, *, twice: bool = False) -> int:
        reading.release()
        go_on.wait()
        return number * (2 if twice else 1)

    asked = [asyncio.create_task(bulkhead.run(read, number, twice=True)) for number in range(READERS + 1)]
    for _ in range(READERS):
        await asyncio.to_thread(reading.acquire)
    assert not reading.acquire(blocking=False)
    go_on.set()
    assert await asyncio.gather(*asked) == [number * 2 for number in range(READERS + 1)]
