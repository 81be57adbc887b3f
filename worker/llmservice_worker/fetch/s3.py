"""s3://bucket/prefix, from AWS or any server that speaks S3; gs:// through the S3 protocol of Google's storage."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason, cut_off, of_status
from llmservice_worker.fetch.plan import Checksum, RemoteFile
from llmservice_worker.fetch.remote import CHUNK
from llmservice_worker.fetch.source import Source

GOOGLE: Final = "https://storage.googleapis.com"
_MD5: Final = re.compile(r"^[0-9a-f]{32}$")
_UNKNOWN: Final = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "XAdminUserNotFound")
"""Codes for keys that are none; the last is versitygw's, with status 404."""
_CREDENTIALS: Final = (
    "check keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the Secret in model.credentialsSecretRef, "
    "and that they may list and read the bucket"
)


class Bucket:
    """The objects under one prefix of a bucket; without credentials it is asked anonymously."""

    def __init__(self, source: Source, credentials: Mapping[str, str]) -> None:
        self._uri = source.uri
        self._bucket, _, prefix = source.uri.partition("://")[2].partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _client(source, credentials)

    def files(self) -> list[RemoteFile]:
        """All objects under the prefix, by their path below it; none is SourceNotFound."""
        with self._failures(self._uri):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            found = [_file(entry, self._prefix) for page in pages for entry in page.get("Contents", [])]
        found = [file for file in found if file.path and not file.path.endswith("/")]
        if not found:
            raise FetchFailed(
                Reason.SOURCE_NOT_FOUND, f"{self._uri} holds no object: correct spec.model.source, or upload the model"
            )
        return found

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:
        """A ranged GET of the very version that was listed."""
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Key": self._prefix + file.path, "IfMatch": file.version}
        if offset:
            wanted["Range"] = f"bytes={offset}-"
        with self._failures(f"{self._uri}: {file.path}"):
            body = self._client.get_object(**wanted)["Body"]
            try:
                yield body.iter_chunks(CHUNK)
            finally:
                body.close()

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise _refused(error, what) from error
        except (BotoCoreError, HTTPError) as error:  # no connection, none any more, or too few bytes
            raise cut_off(error) from error


def _client(source: Source, credentials: Mapping[str, str]) -> Any:
    key, secret = credentials.get("AWS_ACCESS_KEY_ID"), credentials.get("AWS_SECRET_ACCESS_KEY")
    endpoint = source.endpoint or (GOOGLE if source.scheme == "gs" else None)
    config = Config(
        signature_version="s3v4" if key and secret else UNSIGNED,
        connect_timeout=10,
        read_timeout=30,
        retries={"total_max_attempts": 1},  # the downloader tries again, and counts
        s3={"addressing_style": "path" if endpoint else "auto"},
        response_checksum_validation="when_required",
        request_checksum_calculation="when_required",
    )
    session = boto3.session.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
        region_name=credentials.get("AWS_REGION") or "us-east-1",
    )
    try:
        return session.client("s3", endpoint_url=endpoint, config=config)
    except (ValueError, BotoCoreError) as error:
        raise FetchFailed(
            Reason.SOURCE_UNREACHABLE,
            f"{source.uri} cannot be asked: {error}; correct model.endpoint, or AWS_REGION in the Secret",
        ) from error


def _file(entry: Mapping[str, Any], prefix: str) -> RemoteFile:
    etag = str(entry["ETag"]).strip('"')
    return RemoteFile(
        path=str(entry["Key"])[len(prefix) :],
        size=int(entry["Size"]),
        version=etag,
        # Of a multipart upload the ETag is a digest of digests, which nobody can check without its parts.
        checksum=Checksum("md5", etag) if _MD5.match(etag) else None,
    )


def _refused(error: ClientError, what: str) -> FetchFailed | Interrupted:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    code = str(error.response.get("Error", {}).get("Code", ""))
    if status == 412:
        return FetchFailed(Reason.CORRUPT, f"{what} was replaced while it was downloaded: it is fetched anew")
    if code in _UNKNOWN:
        return FetchFailed(Reason.CREDENTIALS_REFUSED, f"{what}: access refused ({code}); {_CREDENTIALS}")
    if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
        return FetchFailed(Reason.SOURCE_UNREACHABLE, f"{what} is in another region: set AWS_REGION in the Secret")
    return of_status(status, what, _CREDENTIALS, code)
