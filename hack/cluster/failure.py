"""The one error of this package: what went wrong, what to do, and the log that shows it."""

from pathlib import Path


class ClusterError(Exception):
    """A step failed; `log` names the file whose last lines tell why."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log; empty where there is none."""
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 64 * 1024))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
