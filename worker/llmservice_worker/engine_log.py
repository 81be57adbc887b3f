"""Keeps what vLLM's processes log of their failures, so that the replica can say the root cause.

vLLM's engine runs in a process of its own, whose exception reaches the replica only as "see root cause above". vLLM
reads its logging configuration from VLLM_LOGGING_CONFIG_PATH (engine_log.json here) in each process; `KeepFailures`
there appends one JSON line per failure to the file that LLMSERVICE_ENGINE_LOG names, which that process inherits.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Final, NamedTuple

PLACE: Final = "LLMSERVICE_ENGINE_LOG"
"""Environment variable: the file that failures are kept in; nothing is kept where it is not set."""

_LONGEST: Final = 4000
_SERVE: Final = "ray.serve"


class Failure(NamedTuple):
    """One thing that a process of vLLM logged: its message, and its exception as `Type: text` (empty: none)."""

    message: str
    exception: str


class KeepFailures(logging.Handler):
    """Appends each record of level WARNING or above to the file at $LLMSERVICE_ENGINE_LOG."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; never raises, as logging demands."""
        place = os.environ.get(PLACE)
        if not place:
            return
        try:
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except (OSError, ValueError, TypeError):
            self.handleError(record)


@contextmanager
def serve_log_kept() -> Iterator[None]:
    """Around vLLM's first import, which configures logging and thereby closes every handler that there is.

    Ray Serve's would lose its file: the replica logs no more, and a controller that was started anew asks each replica
    for that file and stops one that does not know it.
    """
    found = [each for each in logging.getLogger(_SERVE).handlers if isinstance(each, MemoryHandler)]
    kept = [(handler, handler.target) for handler in found]
    try:
        yield
    finally:
        for handler, target in kept:
            handler.setTarget(target)


def failures(place: Path) -> list[Failure]:
    """What was kept in `place`, oldest first; empty where there is no such file."""
    try:
        lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [failure for line in lines for failure in _parsed(line)]


def root_exception(error: BaseException) -> BaseException:
    """The innermost exception that `error` was raised from, or while handling."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None:
            break
        error = inner
    return error


def described(error: BaseException) -> str:
    """`Type: text` of an exception."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    exception = described(root_exception(error)) if error is not None else ""
    return json.dumps({"message": record.getMessage()[:_LONGEST], "exception": exception[:_LONGEST]}) + "\n"


def _parsed(line: str) -> Iterator[Failure]:
    try:
        found = json.loads(line)
        yield Failure(str(found["message"]), str(found["exception"]))
    except (ValueError, KeyError, TypeError):
        return
