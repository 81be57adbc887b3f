"""The ledger as a worker knows it: batches of events are posted, and what it answers is one of three verdicts."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

MOST_EVENTS: Final = 500
"""In one post."""
TIMEOUT_S: Final = 15.0
_CONNECT_S: Final = 3.0
_PATH: Final = "/v1/events"
_OF_EVENT: Final = re.compile(r"events[.\[](\d+)")
_SHOWN: Final = 300


@dataclass(frozen=True)
class Stored:
    """All events of the post are in the ledger."""


@dataclass(frozen=True)
class Refused:
    """The event at `index` of the post is wrong, `message` says how; none of them is stored."""

    index: int
    message: str


@dataclass(frozen=True)
class Away:
    """Nothing is known to be stored; to be tried again."""

    message: str


Verdict = Stored | Refused | Away


def verdict(status: int, body: bytes, count: int) -> Verdict:
    """What an answer to a post of `count` events says of them."""
    found = _object(body)
    if status == 200 and "stored" in found:
        return Stored()
    error = found.get("error")
    error = error if isinstance(error, dict) else {}
    message = str(error.get("message", ""))[:_SHOWN]
    index = _OF_EVENT.match(str(error.get("param", "")))
    if 400 <= status < 500 and index is not None and int(index[1]) < count:
        return Refused(int(index[1]), message)
    return Away(f"it answered {status}: {message}".rstrip(": "))


class Ledger:
    """The ledger at `url`; `token` is the file of a ServiceAccount token, which the kubelet writes anew."""

    def __init__(self, url: str, token: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/") + _PATH
        self._token = token
        self._timeout = ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
        self._session: ClientSession | None = None

    async def post(self, lines: Sequence[bytes]) -> Verdict:
        """Post events, each as JSON; never raises for what the ledger or the way to it does."""
        try:
            token = (await asyncio.to_thread(self._token.read_text)).strip()
        except OSError as error:
            return Away(f"the token {self._token} cannot be read: {error.strerror}")
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        body = b'{"events":[' + b",".join(lines) + b"]}"
        try:
            # No redirects: the token is for the ledger alone.
            posting = self._opened().post(self._url, data=body, headers=headers, allow_redirects=False)
            async with posting as answer:
                return verdict(answer.status, await answer.read(), len(lines))
        except (ClientError, TimeoutError, OSError) as error:
            return Away(f"{type(error).__name__}: {error}".rstrip(": ")[:_SHOWN])

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(timeout=self._timeout)
        return self._session


def _object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object; empty where it is anything else."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
