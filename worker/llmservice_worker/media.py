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
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from llmservice_worker.errors import Refused

MOST: Final = 16
MEDIA_BYTES: Final = 16 * 1024 * 1024
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


class Media:
    """Makes data: URLs of what requests point to. `resolver` None: the system's, global addresses only."""

    def __init__(
        self,
        hosts: Sequence[str],
        resolver: Callable[[], AbstractResolver] = lambda: CheckedResolver(DefaultResolver()),
        seconds: float = 5.0,
        most_bytes: int = MEDIA_BYTES,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._resolver = resolver
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._most = most_bytes

    async def inlined(self, slots: Sequence[tuple[dict[str, Any], str]]) -> None:
        """Put a data: URL into each of `slots`; raises Refused (400) where one may not or cannot be had."""
        if len(slots) > MOST:
            raise Refused(400, f"At most {MOST} images and audios may be sent in one request.")
        wanted = [(place, key) for place, key in slots if not self._is_data(place[key])]
        if not wanted:
            return
        for place, key in wanted:
            self._check(place[key])
        connector = aiohttp.TCPConnector(resolver=self._resolver(), use_dns_cache=False)
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False) as session:
            urls = await asyncio.gather(*(self._fetched(session, place[key]) for place, key in wanted))
        for (place, key), url in zip(wanted, urls, strict=True):
            place[key] = url

    def _is_data(self, url: str) -> bool:
        """Whether it is a sound data: URL; raises Refused where it is a data: URL and not sound."""
        if url[:5].lower() != "data:":
            return False
        head = _DATA.match(url)
        if head is None or not _BASE64.fullmatch(url, head.end()):
            raise Refused(400, "A data: URL must be of type image/… or audio/… and hold base64.", "url")
        if (len(url) - head.end()) * 3 // 4 > self._most:
            raise Refused(400, self._too_large(), "url")
        return True

    def _check(self, url: str) -> None:
        parts = _split(url)
        host = parts.hostname or ""
        if parts.scheme not in _PORTS or parts.username or parts.password or _port(parts) not in (None, 80, 443):
            raise Refused(400, "An image or audio must be a data: URL, or http(s): on its usual port.", "url")
        if host not in self._hosts:
            raise Refused(400, f"Images and audios may not come from the host '{host[:128]}': send a data: URL.", "url")
        if _is_address(host) and not is_global(host):
            raise Refused(400, "Images and audios may not come from such an address.", "url")

    async def _fetched(self, session: aiohttp.ClientSession, url: str) -> str:
        host = _split(url).hostname
        try:
            async with session.get(url, allow_redirects=False) as answer:
                kind = answer.content_type.lower()
                if answer.status != 200 or not kind.startswith(_TYPES):
                    raise Refused(400, f"'{host}' gave no image or audio (status {answer.status}).", "url")
                content = await self._content(answer)
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise Refused(400, f"The image or audio could not be fetched from '{host}'.", "url") from None
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    async def _content(self, answer: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in answer.content.iter_chunked(64 * 1024):
            content += chunk
            if len(content) > self._most:
                raise Refused(400, self._too_large(), "url")
        return bytes(content)

    def _too_large(self) -> str:
        return f"An image or audio may have at most {self._most // 1024} KiB."


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
