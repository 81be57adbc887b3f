"""The API server's audit log, read as it grows: who wrote what, and when."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.integration.operator_run import WRITES


@dataclass(frozen=True)
class Write:
    """One write that the API server answered; `at` is when, in seconds since 1970, `begun` when it came in."""

    user: str
    verb: str
    plural: str
    part: str
    namespace: str
    name: str
    code: int
    begun: float
    at: float

    @property
    def service(self) -> tuple[str, str]:
        """The LLMService that it is of: children have its name, and a hyphen where they are a revision's."""
        return self.namespace, self.name.partition("-")[0]

    @property
    def is_creation(self) -> bool:
        """Whether it made the object."""
        return self.code == 201 and not self.part


def write_of(line: str) -> Write | None:
    """A line of the audit log, where it tells of a write."""
    entry = json.loads(line)
    reference = entry.get("objectRef")
    if entry["verb"] not in WRITES or not reference:
        return None
    return Write(
        user=entry["user"]["username"],
        verb=entry["verb"],
        plural=reference["resource"],
        part=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        # Of a POST only what is written tells the name.
        name=reference.get("name") or entry.get("requestObject", {}).get("metadata", {}).get("name", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
        begun=_seconds(entry["requestReceivedTimestamp"]),
        at=_seconds(entry["stageTimestamp"]),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Audit:
    """`writes`: all that was logged so far, as of the last `read`."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._rest = b""
        self.writes: list[Write] = []

    def read(self) -> list[Write]:
        """Take in what has been logged since; all of it."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        self.writes += [found for line in lines if (found := write_of(line.decode())) is not None]
        return self.writes

    def forget(self) -> None:
        """What has been logged so far counts no more."""
        self.read()
        self.writes.clear()

    def close(self) -> None:
        """No more is read."""
        self._file.close()
