"""Bodies on their way into the agent's memory: each within a size and a time, all of them within a bound."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from llmservice_gateway import errors
from llmservice_gateway.errors import Refused

Keep = Callable[[int], Awaitable[None]]
"""Told how many bytes have come; returns when more may be read."""

_PATIENCE: Final = 0.3
SHARES: Final = 4
"""An owner may take one of so many, and small bodies have one besides."""


class Room:
    """Memory for bodies, `most` bytes of it: to each owner a quarter, and room for one body of `largest` bytes."""

    def __init__(self, most: int, largest: int) -> None:
        self._left = most
        self._share = max(most // SHARES, largest)
        self._taken: Counter[str] = Counter()

    def take(self, owner: str, size: int) -> None:
        """Raises Refused (503) where there is no room for `size` further bytes, or the owner has its share."""
        if size > self._left or self._taken[owner] + size > self._share:
            raise Refused(errors.BODIES_FULL)
        self._left -= size
        self._taken[owner] += size

    def give(self, owner: str, size: int) -> None:
        """Gives back what was taken."""
        self._left += size
        self._taken[owner] -= size
        if not self._taken[owner]:
            del self._taken[owner]


@dataclass(frozen=True)
class Rooms:
    """One for bodies of up to `small_body` bytes, which wait for cold models, and one for all larger ones.

    Large bodies so keep no small one out.
    """

    small: Room
    large: Room
    small_body: int

    def place(self, owner: str) -> "Place":
        """A place that grows as its body comes in; `owner`: the id of the key that asks."""
        return Place(self, owner)

    def of(self, size: int) -> Room:
        """The room in which a body of the size is."""
        return self.small if size <= self.small_body else self.large


def rooms(most: int, large_body: int, small_body: int) -> Rooms:
    """`most` bytes for large bodies, and a quarter of that besides for small ones."""
    return Rooms(Room(most // SHARES, small_body), Room(most, large_body), small_body)


class Place:
    """What one body takes until it is left."""

    def __init__(self, rooms: Rooms, owner: str) -> None:
        self._rooms = rooms
        self._owner = owner
        self._size = 0

    def grow(self, size: int) -> None:
        """Takes `size` bytes more, in the other room where it is small no longer; raises Refused (503)."""
        before, now = self._rooms.of(self._size), self._rooms.of(self._size + size)
        if now is before:
            now.take(self._owner, size)
        else:
            now.take(self._owner, self._size + size)
            before.give(self._owner, self._size)
        self._size += size

    def leave(self) -> None:
        """Gives back what was taken; more than once does no harm."""
        self._rooms.of(self._size).give(self._owner, self._size)
        self._size = 0


async def read(content: StreamReader, place: Place, most: int, within: float, keep: Keep) -> bytes:
    """The whole body, no faster than `keep` lets it.

    Raises Refused: 413 past `most` bytes, 408 where it is not here after `within` seconds, 503 where there is no room
    for it, 400 where it breaks off or is no HTTP.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within):
            while chunk := await content.readany():
                size += len(chunk)
                if size > most:
                    raise Refused(errors.BODY_TOO_LARGE)
                place.grow(len(chunk))
                chunks.append(chunk)
                await keep(len(chunk))
    except TimeoutError:
        raise Refused(errors.REQUEST_TIMEOUT) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise Refused(errors.BAD_REQUEST) from None
    return b"".join(chunks)


async def discard(content: StreamReader, most: int, keep: Keep) -> None:
    """Reads to the end, to `most` bytes, or until nothing comes (a client may wait for leave to send)."""
    with contextlib.suppress(TimeoutError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
        while most > 0:
            async with asyncio.timeout(_PATIENCE):
                chunk = await content.readany()
            most -= len(chunk)
            if not chunk:
                return
            await keep(len(chunk))
