"""Requests to a model by the agent itself, by the rules that haproxy.cfg has for those that it forwards."""

import io
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from llmservice_gateway import errors
from llmservice_gateway.errors import ApiError
from llmservice_gateway.objects import Address

TRIES: Final = 3
_KEEP_ALIVE: Final = (
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 10),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 5),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), 3),
)
_MADE_HERE: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class NoAnswer(Exception):
    """The model gave none; nothing of it reached the client. `again`: another try may be answered."""

    def __init__(self, error: ApiError, *, again: bool = True) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again


@dataclass(frozen=True)
class Asked:
    """A request as a model is to see it; `path` as it stands in a URL."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Upstreams:
    """Sends requests to models."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, address: Address, asked: Asked, sent: Callable[[], None]) -> aiohttp.ClientResponse:
        """The answer, its body still to be read; `sent` is called when the request is on its way.

        Raises NoAnswer where the model cannot be reached, breaks off, or says nothing for too long.
        """
        host = f"[{address.ip}]" if ":" in address.ip else address.ip
        try:
            return await self._session.post(
                URL(f"http://{host}:{address.port}{asked.path}", encoded=True),
                data=io.BytesIO(asked.body),  # in pieces, with the length of the whole
                headers=asked.headers,
                skip_auto_headers=_MADE_HERE,
                allow_redirects=False,
                trace_request_ctx=sent,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NoAnswer(errors.UNAVAILABLE) from error
        except aiohttp.SocketTimeoutError as error:
            raise NoAnswer(errors.GATEWAY_TIMEOUT, again=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(errors.BAD_GATEWAY) from error

    async def insist(self, address: Address, asked: Asked) -> aiohttp.ClientResponse:
        """As `ask`, with the repeats that HAProxy makes: of what was not answered, and of a 502. The last 502 stays."""
        for left in reversed(range(TRIES)):
            try:
                answer = await self.ask(address, asked, _nobody)
            except NoAnswer as lost:
                if not lost.again or not left:
                    raise
                continue
            if answer.status != 502 or not left:
                return answer
            answer.close()
        raise AssertionError("the last try answers or raises")


def is_not_up(answer: aiohttp.ClientResponse) -> bool:
    """Whether the answer comes from what stands in front of an engine that is not there."""
    plain = not answer.headers.get("content-type", "").startswith("application/json")
    return answer.status == 502 or (plain and answer.status in (404, 500, 503, 504))


@asynccontextmanager
async def upstreams(connect: float, silence: float) -> AsyncIterator[Upstreams]:
    """Waits `connect` seconds for a connection, and `silence` seconds for each further piece of an answer."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=silence)
    # Each request has its connection: a Service spreads connections over pods, and none is kept to one that went.
    connector = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_watched)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, auto_decompress=False, trace_configs=[_tells_when_sent()]
    ) as session:
        yield Upstreams(session)


def _watched(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices within 25 s that its peer's node vanished, which closes nothing."""
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    for option, value in _KEEP_ALIVE:
        made.setsockopt(*option, value)
    return made


def _tells_when_sent() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def sent(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx()

    trace.on_request_headers_sent.append(sent)
    return trace


def _nobody() -> None:
    """Nobody waits for the request to be sent."""
