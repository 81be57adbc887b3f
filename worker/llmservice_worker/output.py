"""The container's own output, which `kubectl logs` shows; a replica's stdout is a file in Ray's log directory.

$LLMSERVICE_LOG names it (the image sets /proc/1/fd/1); where it is not set, lines go to stdout.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

PLACE: Final = "LLMSERVICE_LOG"
"""Environment variable: the file or pipe that log lines are written to."""


def opened(environment: Mapping[str, str] = os.environ) -> Callable[[str], None]:
    """What writes one line. A pipe that is full or broken loses lines: a log must not hold up a request."""
    place = environment.get(PLACE)
    if not place:
        return _to_stdout
    try:
        pipe = os.open(Path(place), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _to_stdout(_json(logging.WARNING, __name__, f"{PLACE}={place} cannot be opened, logging to stdout: {error}"))
        return _to_stdout

    def write(line: str) -> None:
        try:
            os.write(pipe, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            return

    return write


class ContainerLog(logging.Handler):
    """Writes each record as one line of JSON to the container's output; named in engine_log.json."""

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._write = opened()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; never raises, as logging demands."""
        try:
            self._write(_json(record.levelno, record.name, self.format(record)))
        except (OSError, ValueError, TypeError):
            self.handleError(record)


def _json(level: int, logger: str, message: str) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"time": time, "level": logging.getLevelName(level).lower(), "logger": logger}
    return json.dumps(head | {"message": message}, separators=(",", ":"))


def _to_stdout(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
