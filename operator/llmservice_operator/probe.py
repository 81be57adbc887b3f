"""One real token: the only proof of an engine, and of a route, that counts."""

import asyncio
import json
from typing import Any, Final

import aiohttp

from llmservice_api.names import ADDRESS_HEADER
from llmservice_operator.observed import Probe

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=3)
_ANSWER_MAX: Final = 64 * 1024
_AT_ONCE: Final = 4


class HttpProber:
    """Asks a model for one token; only a few at once, so that hung engines hold up no other service's reconcile."""

    def __init__(self, session: aiohttp.ClientSession, key: str, gateway_url: str) -> None:
        self._session = session
        self._key = key
        self._gateway_url = gateway_url
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def engine(self, address: str, model: str) -> Probe:
        """Through a revision's Service, `<ip>:<port>`."""
        return await self._ask(f"http://{address}/v1/completions", model)

    async def route(self, namespace: str, name: str, model: str, address: str) -> Probe:
        """Through the gateway, as an application would come, with the probe's own key.

        To that key the gateway tells whom it asked: a token from the revision before would prove nothing.
        """
        return await self._ask(f"{self._gateway_url}/{namespace}/{name}/v1/completions", model, address)

    async def _ask(self, url: str, model: str, address: str | None = None) -> Probe:
        if self._turn.locked():
            return Probe(error="other services are probed first", reached=False)
        body = {"model": model, "prompt": "Hi", "max_tokens": 1, "temperature": 0}
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            async with self._turn, self._session.post(url, json=body, headers=headers, timeout=_TIMEOUT) as response:
                found = judge(response.status, await response.content.read(_ANSWER_MAX))
                asked = response.headers.get(ADDRESS_HEADER)
        except aiohttp.ClientConnectorError:
            return Probe(error="nothing listens there yet", reached=False)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Probe(error=f"{type(error).__name__}: {error}".rstrip(": "))
        if found.answered and address is not None and asked != address:
            return Probe(error="the gateway still asks the revision before", reached=False)
        return found


def judge(status: int, answer: bytes) -> Probe:
    """Whether an answer holds a token."""
    body = _object(answer)
    if status != 200:
        message = body.get("error", {}).get("message") if isinstance(body.get("error"), dict) else None
        return Probe(error=f"HTTP {status}: {message or answer[:200].decode(errors='replace')}")
    tokens = (body.get("usage") or {}).get("completion_tokens", 0)
    return Probe() if tokens else Probe(error="HTTP 200, but no token was generated")


def _object(answer: bytes) -> dict[str, Any]:
    try:
        body = json.loads(answer)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
