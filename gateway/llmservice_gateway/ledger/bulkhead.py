"""Reports have threads of their own, and so many are made at once: none keeps a write or other Admins waiting."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final, ParamSpec, TypeVar

from llmservice_gateway.ledger.answers import TOO_MANY_REPORTS, Said
from llmservice_gateway.ledger.database import READERS

MOST: Final = 8
"""Reports at once, those that wait for a thread included."""
MOST_OF_ONE: Final = 4
"""Of them those of one namespace."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Bulkhead:
    """For all reports of one ledger."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(READERS, "reports")
        self._made: Counter[str | None] = Counter()

    @contextmanager
    def place(self, scope: str | None) -> Iterator[None]:
        """One report's, for whoever sees `scope`; raises Said (429) where too many are made already."""
        if self._made.total() >= MOST or self._made[scope] >= MOST_OF_ONE:
            raise Said(TOO_MANY_REPORTS)
        self._made[scope] += 1
        try:
            yield
        finally:
            self._made[scope] -= 1

    async def run(self, call: Callable[_P, _T], *given: _P.args, **named: _P.kwargs) -> _T:
        """What the call returns or raises, made in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *given, **named))
