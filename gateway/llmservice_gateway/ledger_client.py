"""Requests to the ledger, with the pod's own token, which the kubelet renews."""

from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from llmservice_api.names import ADMIN_HEADER

_PATIENCE: Final = 5.0
"""Seconds for an answer, beyond those that it was asked to wait."""
_REPORT: Final = 55.0
"""Seconds without a byte of a report."""


class LedgerAway(Exception):
    """The ledger gave no answer, or one that is none; the message says which."""


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

    async def organization(self, path_qs: str, scope: str) -> aiohttp.ClientResponse:
        """The answer to an admin who sees the namespace `scope`, `*` all; its body is to come. Raises LedgerAway."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_REPORT)
        try:
            headers = self._headers() | {ADMIN_HEADER: scope}
            response = await self._session.get(URL(self._url + path_qs, encoded=True), headers=headers, timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LedgerAway(f"{type(error).__name__}: {error}") from error
        if response.status == 401:  # the gateway's own token, not the admin's key
            response.release()
            raise LedgerAway("it does not take the gateway's token")
        return response

    def _headers(self) -> dict[str, str]:
        token = self._token.read_text(encoding="ascii", errors="replace").strip()
        if not (token.isascii() and token.isprintable()):
            raise LedgerAway(f"{self._token} holds no token, which is one line of ASCII: mount a ServiceAccount token")
        return {"authorization": f"Bearer {token}"}
