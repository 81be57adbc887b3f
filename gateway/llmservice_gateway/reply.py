"""What the activator answers: an error, or a model's answer as it comes; comments before it, where a client streams."""

import json
from typing import Final

import aiohttp
from aiohttp import HttpVersion11, web

from llmservice_api.names import ROUTE_HEADER
from llmservice_gateway import errors
from llmservice_gateway.errors import ApiError

TARGET_HEADER: Final = "x-llmservice-target"
"""Tells HAProxy, which takes it out as it does ROUTE_HEADER, whom the request went to: `<ip>|<port>`."""

_LONGEST_ERROR: Final = 64 * 1024
_PER_CONNECTION: Final = (
    "connection",
    "keep-alive",
    "transfer-encoding",
    ROUTE_HEADER,
    TARGET_HEADER,
    errors.REASON_HEADER,
)
_BY_STATUS: Final = {
    429: errors.RATE_LIMIT,
    502: errors.BAD_GATEWAY,
    503: errors.UPSTREAM_OVERLOADED,
    504: errors.GATEWAY_TIMEOUT,
}


class Reply:
    """The answer to one request. `is_anthropic`: errors have that shape; `streams`: comments may go before it."""

    def __init__(self, request: web.Request, *, is_anthropic: bool) -> None:
        self._request = request
        self._is_anthropic = is_anthropic
        self._begun: web.StreamResponse | None = None
        self.streams = False
        self.route = ""
        self.model = ""

    async def waiting(self) -> None:
        """Tells a client that streams that its request is held; its status is then said."""
        if not self.streams:
            return
        if self._begun is None:
            headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
            self._begun = web.StreamResponse(headers=headers | self._told(""))
            await self._begin(self._begun)
        await self._begun.write(b": waiting\n\n")

    async def refuse(self, error: ApiError, **values: str) -> web.StreamResponse:
        """Says an error; `values` as of ApiError.body."""
        if self.model:
            values["model"] = errors.escaped(self.model[:128])
        body = self._shaped(error, values).encode()
        if self._begun is None:
            return web.Response(status=error.status, body=body, headers=error.all_headers | self._told(""))
        return await self._end(self._begun, body)

    async def relay(self, answer: aiohttp.ClientResponse, target: str) -> web.StreamResponse:
        """Hands the model's answer on as it comes. Where that breaks off, so does this, as HAProxy does it."""
        try:
            return await self._relay(answer, target)
        finally:
            answer.close()

    async def _relay(self, answer: aiohttp.ClientResponse, target: str) -> web.StreamResponse:
        if self._begun is not None and (answer.status != 200 or answer.content_type != "text/event-stream"):
            return await self._end(self._begun, await self._error_of(answer))
        response = self._begun
        if response is None:
            response = web.StreamResponse(status=answer.status)
            response.headers.extend(_passed_on(answer))
            response.headers.update(self._told(target))
            await self._begin(response)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except (aiohttp.ClientError, TimeoutError, OSError):
            if self._request.transport is not None:
                self._request.transport.abort()
            return response
        await response.write_eof()
        return response

    async def _begin(self, response: web.StreamResponse) -> None:
        if self._request.version < HttpVersion11:  # it knows no chunks: a stream ends with its connection
            response.force_close()
        await response.prepare(self._request)

    def _told(self, target: str) -> dict[str, str]:
        return {name: value for name, value in ((ROUTE_HEADER, self.route), (TARGET_HEADER, target)) if value}

    def _shaped(self, error: ApiError, values: dict[str, str]) -> str:
        if not self._is_anthropic:
            return error.body(**values)
        return error.anthropic_body(errors.escaped(self._request.headers.get("x-request-id", "")), **values)

    async def _error_of(self, answer: aiohttp.ClientResponse) -> bytes:
        """A model's error as one line, in the shape in which it came or in ours where it is not JSON."""
        try:
            said = json.loads(await answer.content.read(_LONGEST_ERROR))
        except (ValueError, aiohttp.ClientError, TimeoutError, OSError):
            said = None
        if isinstance(said, dict) and "error" in said:
            return json.dumps(said).encode()
        ours = errors.UPSTREAM_FAILED if answer.status >= 500 else errors.UPSTREAM_REFUSED
        return self._shaped(_BY_STATUS.get(answer.status, ours), {}).encode()

    async def _end(self, response: web.StreamResponse, error: bytes) -> web.StreamResponse:
        event = b"event: error\n" if self._is_anthropic else b""
        await response.write(event + b"data: " + error + b"\n\n")
        await response.write_eof()
        return response


def _passed_on(answer: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    return [(name, encodable(text)) for name, text in answer.headers.items() if name.lower() not in _PER_CONNECTION]


def encodable(text: str) -> str:
    """The text of a header without bytes that are no UTF-8, which could be read but not be written."""
    return text.encode("utf-8", "ignore").decode()
