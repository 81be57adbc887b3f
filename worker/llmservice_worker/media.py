"""Images and audios of requests: data: as they are, others fetched here from allowed hosts, so that vLLM fetches none.

A host's name is resolved once, by a resolver that gives global addresses only, and that answer is connected to: a name
that changes its address in between (rebinding) gains nothing. No redirects, no proxies, bounded in bytes and time.
"""

import asyncio
import base64
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from llmservice_worker.errors import Refused
from llmservice_worker.images import PIXELS, pixels

MOST: Final = 16
MEDIA_BYTES: Final = 16 * 1024 * 1024
ALL_BYTES: Final = 32 * 1024 * 1024
"""All images and audios of one request together, those that it brings and those that are fetched."""
ALL_PIXELS: Final = 2 * PIXELS
_AT_ONCE: Final = 4
"""Requests that a replica fetches for at the same time: each may hold ALL_BYTES, and what is made of them."""
_DATA: Final = re.compile(r"data:(image|audio)/[a-z0-9.+-]{1,64};base64,")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_TYPES: Final = ("image/", "audio/")
_PORTS: Final = {"http": 80, "https": 443}

Reachable = Callable[[str], bool]
"""Whether an IP address may be connected to."""


def is_global(address: str) -> bool:
    """Whether `address` is of the internet: no loopback, private, link-local, multicast or reserved one."""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global and not found.is_multicast


class CheckedResolver(AbstractResolver):
    """Resolves as `inner`, and fails where any address is not `reachable`: aiohttp connects to these and no others."""

    def __init__(self, inner: AbstractResolver, reachable: Reachable = is_global) -> None:
        self._inner = inner
        self._reachable = reachable

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`; raises OSError."""
        found = await self._inner.resolve(host, port, family)
        if not all(self._reachable(address["host"]) for address in found):
            raise OSError("not a global address")
        return found

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


class _Budget:
    """How many bytes a request may still hold; raises Refused (400) where one, or all together, are too large."""

    def __init__(self, most: int, most_in_all: int) -> None:
        self._most = most
        self._in_all = self._left = most_in_all

    def check_one(self, size: int) -> None:
        """Refuse an image or audio that has so many bytes, if that is too many."""
        if size > self._most:
            raise Refused(400, f"An image or audio may have at most {self._most // 1024} KiB.", "url")

    def take(self, size: int) -> None:
        """Count so many bytes more."""
        self._left -= size
        if self._left < 0:
            message = f"The images and audios of one request may have at most {self._in_all // 1024} KiB together."
            raise Refused(400, message, "url")


class Media:
    """Makes data: URLs of what requests point to. `resolver` None: the system's, global addresses only."""

    def __init__(
        self,
        hosts: Sequence[str],
        resolver: Callable[[], AbstractResolver] = lambda: CheckedResolver(DefaultResolver()),
        seconds: float = 5.0,
        most_bytes: int = MEDIA_BYTES,
        most_in_all: int = ALL_BYTES,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._resolver = resolver
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._budget = partial(_Budget, most_bytes, most_in_all)
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def inlined(self, slots: Sequence[tuple[dict[str, Any], str]]) -> None:
        """Put a data: URL into each of `slots`; raises Refused (400) where one may not or cannot be had."""
        if len(slots) > MOST:
            raise Refused(400, f"At most {MOST} images and audios may be sent in one request.")
        budget = self._budget()
        wanted = [(place, key) for place, key in slots if not _is_data(place[key], budget)]
        for place, key in wanted:
            self._check(place[key])
        if wanted:
            async with self._turn:
                urls = await self._fetched_all([place[key] for place, key in wanted], budget)
            for (place, key), url in zip(wanted, urls, strict=True):
                place[key] = url
        if slots:
            await asyncio.to_thread(_check_images, [place[key] for place, key in slots])

    async def _fetched_all(self, urls: Sequence[str], budget: _Budget) -> list[str]:
        connector = aiohttp.TCPConnector(resolver=self._resolver(), use_dns_cache=False)
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False) as session:
            fetching = [asyncio.ensure_future(_fetched(session, url, budget)) for url in urls]
            try:
                return await asyncio.gather(*fetching)
            finally:  # one that is refused ends the others: what they hold counts no more
                for each in fetching:
                    each.cancel()

    def _check(self, url: str) -> None:
        parts = _split(url)
        host = parts.hostname or ""
        if parts.scheme not in _PORTS or parts.username or parts.password or _port(parts) not in (None, 80, 443):
            raise Refused(400, "An image or audio must be a data: URL, or http(s): on its usual port.", "url")
        if host not in self._hosts:
            raise Refused(400, f"Images and audios may not come from the host '{host[:128]}': send a data: URL.", "url")
        if _is_address(host) and not is_global(host):
            raise Refused(400, "Images and audios may not come from such an address.", "url")


def _check_images(urls: Sequence[str]) -> None:
    """Raises Refused where a data: URL holds what is no image, or the images hold too many pixels together."""
    left = ALL_PIXELS
    for url in urls:
        head, _, content = url.partition(",")
        if not head.startswith("data:image/"):
            continue
        left -= pixels(_decoded(content))
        if left < 0:
            message = f"The images of one request may have at most {ALL_PIXELS // 1024**2} megapixels together."
            raise Refused(400, message, "url")


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        raise Refused(400, "The base64 of a data: URL is not whole.", "url") from None


def _is_data(url: str, budget: _Budget) -> bool:
    """Whether it is a sound data: URL; raises Refused where it is a data: URL and not sound, or too large."""
    if url[:5].lower() != "data:":
        return False
    head = _DATA.match(url)
    if head is None or not _BASE64.fullmatch(url, head.end()):
        raise Refused(400, "A data: URL must be of type image/… or audio/… and hold base64.", "url")
    size = (len(url) - head.end()) * 3 // 4
    budget.check_one(size)
    budget.take(size)
    return True


async def _fetched(session: aiohttp.ClientSession, url: str, budget: _Budget) -> str:
    host = _split(url).hostname
    try:
        async with session.get(url, allow_redirects=False) as answer:
            kind = answer.content_type.lower()
            if answer.status != 200 or not kind.startswith(_TYPES):
                raise Refused(400, f"'{host}' gave no image or audio (status {answer.status}).", "url")
            content = await _content(answer, budget)
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise Refused(400, f"The image or audio could not be fetched from '{host}'.", "url") from None
    return f"data:{kind};base64,{(await asyncio.to_thread(base64.b64encode, content)).decode()}"


async def _content(answer: aiohttp.ClientResponse, budget: _Budget) -> bytearray:
    content = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        content += chunk
        budget.check_one(len(content))
        budget.take(len(chunk))
    return content


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise Refused(400, "An image or audio has an invalid URL.", "url") from None


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return -1


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
