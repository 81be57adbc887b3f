"""What the checks of a model's and of an adapter's directory share: a named statement each, and what one may say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_SHOWN: Final = 8


def directory_is_missing(directory: Path) -> str | None:
    """No such directory, or not readable."""
    if not directory.is_dir():
        return "is not a directory of the volume" if directory.exists() else "does not exist in the volume"
    try:
        next(directory.iterdir(), None)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def file_is_missing(directory: Path, name: str) -> str | None:
    """It must be a plain file."""
    return None if (directory / name).is_file() else f"has no {name} (found: {listing(directory)})"


def object_is_unreadable(directory: Path, name: str) -> str | None:
    """It must hold a JSON object."""
    return None if json_object(directory / name) is not None else f"has no JSON object in its {name}"


def json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def listing(directory: Path) -> str:
    """The names in a directory."""
    return listed(sorted(entry.name for entry in directory.iterdir())) or "nothing"


def listed(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
