"""Bodies on their way into the agent's memory: each within a size and a time, all of them within a bound."""

import asyncio
import contextlib
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from llmservice_gateway import errors
from llmservice_gateway.errors import Refused

_PATIENCE: Final = 0.3


class Room:
    """Memory for bodies, `most` bytes of it."""

    def __init__(self, most: int) -> None:
        self._left = most

    def place(self) -> "Place":
        """A place that grows as its body comes in."""
        return Place(self)

    def take(self, size: int) -> None:
        """Raises Refused (503) where there is no room for `size` further bytes; negative: gives back."""
        if size > self._left:
            raise Refused(errors.BODIES_FULL)
        self._left -= size


class Place:
    """What one body takes of the room until it is left."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def grow(self, size: int) -> None:
        """Takes `size` bytes more; raises Refused (503)."""
        self._room.take(size)
        self._size += size

    def leave(self) -> None:
        """Gives back what was taken; more than once does no harm."""
        self._room.take(-self._size)
        self._size = 0


async def read(content: StreamReader, place: Place, most: int, within: float) -> bytes:
    """The whole body.

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
    except TimeoutError:
        raise Refused(errors.REQUEST_TIMEOUT) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise Refused(errors.BAD_REQUEST) from None
    return b"".join(chunks)


async def discard(content: StreamReader, most: int) -> None:
    """Reads to the end, to `most` bytes, or until nothing comes (a client may wait for leave to send)."""
    with contextlib.suppress(TimeoutError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
        while most > 0:
            async with asyncio.timeout(_PATIENCE):
                chunk = await content.readany()
            most -= len(chunk)
            if not chunk:
                return
