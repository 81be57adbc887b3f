"""One real answer, a token where the model generates: the only proof of an engine, and of a route, that counts."""

import asyncio
import json
from typing import Any, Final

import aiohttp

from llmservice_api.names import ADDRESS_HEADER, KEY_ID_HEADER, PROBE_KEY_ID
from llmservice_operator.observed import Probe, Question
from llmservice_operator.questions import answer_is_given, asked

_CONNECT_S: Final = 3
_ANSWER_MAX: Final = 256 * 1024
_CAUSE_MAX: Final = 512
_AT_ONCE: Final = 4
_SILENT_MAX: Final = 10_000


class _Turns:
    """A few at once; who was silent the last time has turns of his own, so that he holds up none of the others."""

    def __init__(self) -> None:
        self._usual = asyncio.Semaphore(_AT_ONCE)
        self._of_silent = asyncio.Semaphore(_AT_ONCE)
        self._silent: dict[str, Probe] = {}

    def of(self, url: str) -> asyncio.Semaphore:
        """The turns that `url` waits for."""
        return self._of_silent if url in self._silent else self._usual

    def silence(self, url: str) -> Probe | None:
        """What was made of its last silence; None where it has answered since."""
        return self._silent.get(url)

    def heard(self, url: str) -> None:
        """It answered, whatever that was, or nothing listens there."""
        self._silent.pop(url, None)

    def silent(self, url: str, found: Probe) -> Probe:
        """It did not answer in time."""
        self._silent[url] = found
        if len(self._silent) > _SILENT_MAX:  # addresses of pods that are long gone
            del self._silent[next(iter(self._silent))]
        return found


class HttpProber:
    """Asks a model for the least; only a few at once, so that hung engines hold up no other service's reconcile."""

    def __init__(self, session: aiohttp.ClientSession, key: str, gateway_url: str) -> None:
        self._session = session
        self._key = key
        self._gateway_url = gateway_url
        self._answers = _Turns()
        self._words = _Turns()

    async def engine(self, address: str, question: Question) -> Probe:
        """Through a revision's Service, `<ip>:<port>`."""
        return await self._ask(f"http://{address}/v1", question)

    async def route(self, namespace: str, name: str, question: Question, address: str) -> Probe:
        """Through the gateway, as an application would come, with the probe's own key.

        To that key the gateway tells whom it asked: a token from the revision before would prove nothing.
        """
        return await self._ask(f"{self._gateway_url}/{namespace}/{name}/v1", question, address)

    async def progress(self, address: str) -> dict[str, Any] | None:
        """What a pod that fetches its model says at `<ip>:<port>`; None where it says nothing (yet, or any more)."""
        return await self._told(f"http://{address}/progress")

    async def replica(self, address: str) -> dict[str, Any] | None:
        """What the replica at `<ip>:<port>` says of itself; None where it says nothing (yet, or any more)."""
        return await self._told(f"http://{address}/state")

    async def cause(self, address: str) -> str:
        """Why the replica at `<ip>:<port>` has no engine, in its own words; empty where it says nothing."""
        engine = (await self.replica(address) or {}).get("engine")
        if not isinstance(engine, dict) or engine.get("state") == "Ready":
            return ""
        return str(engine.get("reason") or "")[:_CAUSE_MAX]

    async def adapters(self, address: str) -> list[dict[str, Any]] | None:
        """What a replica says of its adapters at `<ip>:<port>`; None where it says nothing (yet, or any more)."""
        found = (await self.replica(address) or {}).get("adapters")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else None

    async def _told(self, url: str) -> dict[str, Any] | None:
        turn = self._words.of(url)
        if turn.locked() and self._words.silence(url) is not None:
            return None
        is_asked = False
        try:
            # The wait for a turn is part of it: no worker waits for longer, however many pods are silent.
            async with asyncio.timeout(_CONNECT_S), turn:
                is_asked = True
                async with self._session.get(url) as response:
                    found = _object(await _read(response.content)) if response.status == 200 else None
        except TimeoutError:
            if is_asked:
                self._words.silent(url, Probe(error="TimeoutError"))
            return None
        except (aiohttp.ClientError, OSError):
            found = None
        self._words.heard(url)
        return found

    async def _ask(self, base: str, question: Question, address: str | None = None) -> Probe:
        turn = self._answers.of(base)
        if turn.locked():
            return self._answers.silence(base) or Probe(error="other services are probed first", reached=False)
        request = asked(question)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": request.content_type}
        headers[KEY_ID_HEADER] = PROBE_KEY_ID  # to an engine that is asked without the gateway, which else says it
        timeout = aiohttp.ClientTimeout(total=question.patience_s, connect=_CONNECT_S)
        try:
            async with (
                turn,
                self._session.post(
                    base + request.path, data=request.body, headers=headers, timeout=timeout
                ) as response,
            ):
                found = judge(response.status, await _read(response.content), question)
                heard = response.headers.get(ADDRESS_HEADER)
        except TimeoutError as error:
            return self._answers.silent(base, Probe(error=f"{type(error).__name__}: {error}".rstrip(": ")))
        except aiohttp.ClientConnectorError:
            found, heard = Probe(error="nothing listens there yet", reached=False), None
        except (aiohttp.ClientError, OSError) as error:
            found, heard = Probe(error=f"{type(error).__name__}: {error}".rstrip(": ")), None
        self._answers.heard(base)
        if found.answered and address is not None and heard != address:
            return Probe(error="the gateway still asks the revision before", reached=False)
        return found


def judge(status: int, answer: bytes, question: Question) -> Probe:
    """Whether an answer holds what the question's task gives."""
    body = _object(answer)
    if status != 200:
        message = body.get("error", {}).get("message") if isinstance(body.get("error"), dict) else None
        return Probe(error=f"HTTP {status}: {message or answer[:200].decode(errors='replace')}")
    return Probe() if answer_is_given(question.task, body) else Probe(error="HTTP 200, but nothing was generated")


async def _read(content: aiohttp.StreamReader) -> bytes:
    """All of a body, or its first _ANSWER_MAX bytes."""
    found = b""
    while len(found) < _ANSWER_MAX and (chunk := await content.read(_ANSWER_MAX - len(found))):
        found += chunk
    return found


def _object(answer: bytes) -> dict[str, Any]:
    try:
        body = json.loads(answer)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
