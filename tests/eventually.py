"""A wait for what nothing tells of: what threads, other processes and the outside do."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(met: Callable[[], bool | Awaitable[bool]], within: float = 10.0, every: float = 0.003) -> None:
    """Returns once `met()` is true, asked every `every` seconds; raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not (await found if isinstance(found := met(), Awaitable) else found):  # noqa: ASYNC110
            await asyncio.sleep(every)
