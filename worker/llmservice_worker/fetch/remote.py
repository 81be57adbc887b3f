"""What every kind of source offers to the downloader, and HTTP's way of offering it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

import httpx

from llmservice_worker.fetch.failure import FetchFailed, NotResumable, Reason, cut_off, of_status
from llmservice_worker.fetch.plan import RemoteFile

CHUNK: Final = 1024 * 1024
TIMEOUT: Final = httpx.Timeout(30.0)


class Remote(Protocol):
    """A source. Both raise FetchFailed for good and Interrupted where another try is worth it."""

    def files(self) -> list[RemoteFile]:
        """All that it holds."""

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of a file from `offset` on."""


@contextmanager
def http_read(
    client: httpx.Client, url: str, offset: int, headers: Mapping[str, str], what: str, credentials: str
) -> Iterator[Iterator[bytes]]:
    """A ranged GET that follows redirects (httpx leaves credentials behind at another origin)."""
    ranged = {"Range": f"bytes={offset}-"} if offset else {}
    wanted = {**headers, **ranged, "Accept-Encoding": "identity"}
    try:
        with client.stream("GET", url, headers=wanted, follow_redirects=True) as response:
            if response.status_code == 416 and offset:  # nothing beyond what is here
                yield iter(())
                return
            _check(response, offset, what, credentials)
            yield response.iter_raw(CHUNK)
    except httpx.TooManyRedirects as error:
        raise FetchFailed(Reason.SOURCE_UNREACHABLE, f"{what}: the server redirects in a circle") from error
    except httpx.TransportError as error:
        raise cut_off(error) from error


def _check(response: httpx.Response, offset: int, what: str, credentials: str) -> None:
    if response.status_code >= 400:
        raise of_status(response.status_code, what, credentials)
    if offset and not response.headers.get("content-range", "").startswith(f"bytes {offset}-"):
        raise NotResumable(what)
