"""hf://org/name, from the hub or a mirror of it: listed by its API, files from `resolve`, pinned to one commit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import httpx
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoSibling

from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason, of_status
from llmservice_worker.fetch.plan import Checksum, RemoteFile
from llmservice_worker.fetch.remote import http_read
from llmservice_worker.fetch.source import Source

PUBLIC: Final = "https://huggingface.co"
_CREDENTIALS: Final = (
    "give model.credentialsSecretRef a Secret whose key `token` may read it, and accept the model's terms "
    "where it is gated"
)


class Hub:
    """One repository at one commit. `token` None: anonymous."""

    def __init__(self, source: Source, token: str | None, client: httpx.Client) -> None:
        self._repository = source.uri.removeprefix("hf://")
        self._revision = source.revision
        self._endpoint = (source.endpoint or PUBLIC).rstrip("/")
        self._client = client
        self._token = token
        self._commit = ""

    def files(self) -> list[RemoteFile]:
        """Asks the API once; from then on every file is of the commit that it named."""
        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        try:
            info = api.model_info(self._repository, revision=self._revision, files_metadata=True, timeout=30)
        except HfHubHTTPError as error:
            raise self._refused(error) from error
        except httpx.HTTPError as error:
            raise Interrupted(f"{type(error).__name__}: {error}") from error
        except (ValueError, TypeError, KeyError) as error:  # no JSON, or not of a hub
            raise FetchFailed(
                Reason.SOURCE_UNREACHABLE, f"{self._endpoint} does not answer as a hub does: correct model.endpoint"
            ) from error
        self._commit = info.sha or self._revision or "main"
        return [_file(sibling, self._commit) for sibling in info.siblings or []]

    def read(self, file: RemoteFile, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """From `resolve`, which may lead on to a CDN."""
        url = hf_hub_url(self._repository, file.path, revision=self._commit, endpoint=self._endpoint)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        what = f"hf://{self._repository} {file.path}"
        return http_read(self._client, url, offset, headers, what, _CREDENTIALS)

    def _refused(self, error: HfHubHTTPError) -> Exception:
        """The public hub hides private repositories from anonymous callers behind a 401."""
        status = error.response.status_code
        at = f" at {self._revision}" if self._revision else ""
        what = f"hf://{self._repository}{at}"
        if status == 401 and self._token is None:
            return FetchFailed(
                Reason.CREDENTIALS_REFUSED, f"{what} does not exist or needs a token (HTTP 401); {_CREDENTIALS}"
            )
        return of_status(status, what, _CREDENTIALS) or Interrupted(f"HTTP {status}")


def _file(sibling: RepoSibling, commit: str) -> RemoteFile:
    checksum = None
    if sibling.lfs is not None:
        checksum = Checksum("sha256", sibling.lfs.sha256)
    elif sibling.blob_id and sibling.size is not None:
        checksum = Checksum("git-sha1", sibling.blob_id)
    version = checksum.hex if checksum else commit
    return RemoteFile(path=sibling.rfilename, size=sibling.size, version=version, checksum=checksum)
