"""Requests to the ledger, with the pod's own token, which the kubelet renews."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from llmservice_api.names import ADMIN_HEADER

_PATIENCE: Final = 5.0
"""Seconds for an answer, beyond those that it was asked to wait."""


class LedgerAway(Exception):
    """The ledger gave no answer, or one that is none; the message says which."""


@dataclass(frozen=True)
class Answer:
    """What the ledger says to an admin."""

    status: int
    body: bytes
    content_type: str


class LedgerClient:
    """The ledger at `url`; `token` is the file of a projected ServiceAccount token, read anew for each request."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: Path) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token

    async def sync(self, body: Any, wait: float) -> Any:
        """POST /v1/sync; the answer comes within `wait` seconds. Raises LedgerAway."""
        timeout = aiohttp.ClientTimeout(total=wait + _PATIENCE)
        try:
            async with self._session.post(
                f"{self._url}/v1/sync", json=body, headers=self._headers(), timeout=timeout
            ) as response:
                if response.status != 200:
                    raise LedgerAway(f"status {response.status}: {(await response.text())[:200]}")
                return await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise LedgerAway(f"{type(error).__name__}: {error}") from error

    async def organization(self, path_qs: str, scope: str) -> Answer:
        """GET of an admin who sees the namespace `scope`, `*` all. Raises LedgerAway."""
        headers = self._headers() | {ADMIN_HEADER: scope}
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        try:
            async with self._session.get(self._url + path_qs, headers=headers, timeout=timeout) as response:
                return Answer(response.status, await response.read(), response.content_type)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LedgerAway(f"{type(error).__name__}: {error}") from error

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token.read_text(encoding='ascii').strip()}"}
