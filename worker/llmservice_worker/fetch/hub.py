"""hf://org/name, from the hub or a mirror of it: listed by its API, files from `resolve`, pinned to one commit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, ValidationError

from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason, cut_off, of_status
from llmservice_worker.fetch.plan import Checksum, RemoteFile
from llmservice_worker.fetch.remote import http_read
from llmservice_worker.fetch.source import Source

PUBLIC: Final = "https://huggingface.co"
_CREDENTIALS: Final = (
    "give model.credentialsSecretRef a Secret whose key `token` may read it, and accept the model's terms "
    "where it is gated"
)


class Hub:
    """One repository at one commit. `token` None: anonymous.

    Without huggingface_hub, which refuses to ask where HF_HUB_OFFLINE is set: in an engine's process, which fetches
    adapters.
    """

    def __init__(self, source: Source, token: str | None, client: httpx.Client) -> None:
        self._repository = source.uri.removeprefix("hf://")
        self._revision = source.revision
        self._endpoint = (source.endpoint or PUBLIC).rstrip("/")
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._commit = ""

    def files(self) -> list[RemoteFile]:
        """Asks the API once; from then on every file is of the commit that it named."""
        try:
            url, asked = self._listing_url(), {"blobs": "true"}
            answer = self._client.get(url, params=asked, headers=self._headers, follow_redirects=True)
        except httpx.InvalidURL as error:
            raise FetchFailed(
                Reason.SOURCE_UNREACHABLE, f"{self._endpoint} is no URL ({error}): correct model.endpoint"
            ) from error
        except httpx.HTTPError as error:
            raise cut_off(error) from error
        if answer.status_code != 200:
            raise self._refused(answer.status_code)
        try:
            listing = _Listing.model_validate_json(answer.content)
        except ValidationError as error:
            raise FetchFailed(
                Reason.SOURCE_UNREACHABLE, f"{self._endpoint} does not answer as a hub does: correct model.endpoint"
            ) from error
        self._commit = listing.sha
        return [_file(sibling, listing.sha) for sibling in listing.siblings]

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """From `resolve`, which may lead on to a CDN."""
        url = f"{self._endpoint}/{self._repository}/resolve/{self._commit}/{quote(file.path)}"
        what = f"hf://{self._repository}: {file.path}"
        return http_read(self._client, url, offset, self._headers, what, _CREDENTIALS)

    def _listing_url(self) -> str:
        url = f"{self._endpoint}/api/models/{self._repository}"
        return f"{url}/revision/{quote(self._revision, safe='')}" if self._revision else url

    def _refused(self, status: int) -> FetchFailed | Interrupted:
        """The public hub hides what does not exist from anonymous callers behind a 401."""
        at = f" at {self._revision}" if self._revision else ""
        what = f"hf://{self._repository}{at}"
        if status == 401 and not self._headers:
            return FetchFailed(
                Reason.CREDENTIALS_REFUSED, f"{what} does not exist or needs a token (HTTP 401); {_CREDENTIALS}"
            )
        return of_status(status, what, _CREDENTIALS)


class _Lfs(BaseModel):
    sha256: str


class _Sibling(BaseModel):
    rfilename: str
    size: int | None = None
    blob_id: str | None = Field(default=None, alias="blobId")
    lfs: _Lfs | None = None


class _Listing(BaseModel):
    """What is read of a hub's answer. `sha`: the commit."""

    sha: str = Field(pattern=r"^[0-9a-f]{7,64}$")
    siblings: list[_Sibling]


def _file(sibling: _Sibling, commit: str) -> RemoteFile:
    checksum = None
    if sibling.lfs is not None:
        checksum = Checksum("sha256", sibling.lfs.sha256)
    elif sibling.blob_id and sibling.size is not None:
        checksum = Checksum("git-sha1", sibling.blob_id)
    version = checksum.hex if checksum else commit
    return RemoteFile(path=sibling.rfilename, size=sibling.size, version=version, checksum=checksum)
