"""Tells all who wait that something changed; they look for themselves what it was."""

import asyncio


class Bell:
    """Rung as often as there is news."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def ring(self) -> None:
        """Lets all go that wait now."""
        self._news.set()
        self._news = asyncio.Event()

    async def heard(self, within: float | None = None) -> None:
        """Returns at the next ring, or after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._news.wait()
        except TimeoutError:
            return
