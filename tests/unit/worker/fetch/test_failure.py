import errno
import os

import pytest

from llmservice_worker.fetch.failure import FetchFailed, Interrupted, Reason, cut_off, of_disk, of_status


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        *((status, Reason.CREDENTIALS_REFUSED) for status in (401, 403)),
        *((status, Reason.SOURCE_NOT_FOUND) for status in (404, 410)),
        *((status, Reason.SOURCE_UNREACHABLE) for status in (400, 405, 418, 451)),
    ],
)
def test_a_status_that_stays_is_a_failure_with_the_servers_own_word(status: int, reason: Reason) -> None:
    failed = of_status(status, "s3://b/m", "check the keys", "NoSuchKey")
    assert isinstance(failed, FetchFailed)
    assert failed.reason is reason
    assert failed.message.startswith("s3://b/m (NoSuchKey)")
    assert f"HTTP {status}" in failed.message
    assert ("check the keys" in failed.message) == (reason is Reason.CREDENTIALS_REFUSED)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(500, "", "HTTP 500"), (503, "SlowDown", "HTTP 503 SlowDown"), (408, "", "HTTP 408"), (429, "", "HTTP 429")],
)
def test_a_status_that_may_pass_is_worth_another_try(status: int, code: str, said: str) -> None:
    found = of_status(status, "hf://o/n", "", code)
    assert isinstance(found, Interrupted)
    assert str(found) == said


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("reset"), "OSError: reset"), (TimeoutError(), "TimeoutError"), (OSError(""), "OSError")],
)
def test_a_lost_connection_is_named_with_or_without_words(error: Exception, said: str) -> None:
    assert str(cut_off(error)) == said


@pytest.mark.parametrize(
    ("number", "reason", "said"),
    [
        (errno.ENOSPC, Reason.DISK_FULL, "give model.cacheClaim a larger volume"),
        (errno.EDQUOT, Reason.DISK_FULL, "give model.cacheClaim a larger volume"),
        (errno.EFBIG, Reason.DISK_FULL, "give model.cacheClaim a larger volume"),
        (errno.EACCES, Reason.VOLUME_UNUSABLE, "Permission denied; user and group 65532"),
        (errno.EROFS, Reason.VOLUME_UNUSABLE, "Read-only file system; user and group 65532"),
    ],
)
def test_a_disk_that_takes_no_more_is_told_from_one_that_takes_nothing(number: int, reason: Reason, said: str) -> None:
    failed = of_disk(OSError(number, os.strerror(number)), "/cache/models")
    assert failed.reason is reason
    assert "/cache/models" in failed.message
    assert said in failed.message
