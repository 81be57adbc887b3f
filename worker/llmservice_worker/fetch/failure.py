"""Why something could not be fetched, in the reasons that the operator passes on."""

import errno
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """One for each thing that somebody would mend in another way."""

    CREDENTIALS_REFUSED = "CredentialsRefused"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    DISK_FULL = "DiskFull"
    CORRUPT = "Corrupt"
    WEIGHTS_NOT_ALLOWED = "WeightsNotAllowed"
    VOLUME_UNUSABLE = "VolumeUnusable"


class FetchFailed(Exception):
    """The source cannot be had; the message says what, where and what to do, and holds no secret."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Interrupted(Exception):
    """A transfer broke off: worth another try from where it stopped."""


class NotResumable(Exception):
    """The server begins a file anew where it was asked to go on: what is here is of no use."""


_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: OSError) -> bool:
    """Whether the system says of a write that there is no room for it."""
    return error.errno in _FULL


def of_disk(error: OSError, where: str) -> FetchFailed:
    """DiskFull where the system says so of a write, else a volume that cannot be used."""
    if not is_full(error):
        return FetchFailed(
            Reason.VOLUME_UNUSABLE,
            f"the volume at {where} cannot be used: {error.strerror}; user and group 65532 must be able to write to it",
        )
    return FetchFailed(
        Reason.DISK_FULL,
        f"the volume at {where} is full: give model.cacheClaim a larger volume, or delete what it no longer needs",
    )


def cut_off(error: Exception) -> Interrupted:
    """What a library says of a connection that there is not, or is no more."""
    return Interrupted(f"{type(error).__name__}: {error}".rstrip(": "))


def of_status(status: int, what: str, credentials: str, code: str = "") -> FetchFailed | Interrupted:
    """What an HTTP status means. `credentials`: what to check; `code`: the server's own word for it."""
    if code:
        what = f"{what} ({code})"
    if status in (401, 403):
        return FetchFailed(Reason.CREDENTIALS_REFUSED, f"{what}: access refused (HTTP {status}); {credentials}")
    if status in (404, 410):
        return FetchFailed(Reason.SOURCE_NOT_FOUND, f"{what} does not exist (HTTP {status}): correct spec.model.source")
    if 400 <= status < 500 and status not in (408, 425, 429):
        return FetchFailed(Reason.SOURCE_UNREACHABLE, f"{what}: the server refuses the request (HTTP {status})")
    return Interrupted(f"HTTP {status} {code}".rstrip())


def unreachable(what: str, why: str) -> FetchFailed:
    """No answer after all tries."""
    return FetchFailed(
        Reason.SOURCE_UNREACHABLE,
        f"{what} cannot be reached: {why}; check spec.model.endpoint, DNS and network policies",
    )
