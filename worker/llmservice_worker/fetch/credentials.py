"""Credentials of sources: files of a mounted Secret, read anew for each try, so that a corrected one is seen."""

from pathlib import Path

from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.source import AWS, TOKEN

Mounted = dict[str, bytes | None]
"""The keys of the Secret that are there; None: its file cannot be read."""


def mounted(folder: Path) -> Mounted:
    """What the mounted Secret holds, by the keys that sources ask for; empty where there is none."""
    found = {key: _content(folder / key) for key in (TOKEN, *AWS)}
    return {key: content for key, content in found.items() if content != b""}


def credentials(known: Mounted) -> dict[str, str]:
    """The same as text, by the variables that sources know it by; raises FetchFailed where it is none."""
    texts = {"HF_TOKEN" if key == TOKEN else key: _text(key, content) for key, content in known.items()}
    return {name: text for name, text in texts.items() if text}


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""
    except OSError:
        return None


def _text(key: str, content: bytes | None) -> str:
    if content is None:
        raise _unreadable(key, "cannot be read")
    try:
        return content.decode().strip()
    except UnicodeDecodeError as error:
        raise _unreadable(key, "is not UTF-8 text") from error


def _unreadable(key: str, why: str) -> FetchFailed:
    return FetchFailed(
        Reason.CREDENTIALS_REFUSED,
        f"key {key} of the Secret in model.credentialsSecretRef {why}: write it anew, as plain text",
    )
