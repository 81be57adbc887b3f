"""Background processes by record: a pid and its start time, so that only what we started is ever ended."""

import contextlib
import json
import os
import select
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.cluster.failure import ClusterError

STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Record:
    """One process that was started here; a pid that was given away again has another start time."""

    name: str
    pid: int
    started: int
    log: str

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """The kernel's start time of a running process, None for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def start(name: str, argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> Record:
    """Start `argv` in a session of its own; log and record lie under `folder`."""
    words = [str(word) for word in argv]
    program = shutil.which(words[0])
    if program is None:
        raise ClusterError(f"{words[0]} is not on this machine")
    for child in ("logs", "pids"):
        (folder / child).mkdir(parents=True, exist_ok=True)
    log = folder / "logs" / f"{name}.log"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        program,
        words,
        {**os.environ, **(environment or {})},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    record = Record(name, pid, start_time(pid) or 0, str(log))
    (folder / "pids" / f"{name}.json").write_text(json.dumps(asdict(record)))
    return record


def records(folder: Path) -> list[Record]:
    """All records under `folder`, in the order of their start."""
    files = sorted((folder / "pids").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [Record(**json.loads(file.read_text())) for file in files]


def find(folder: Path, name: str) -> Record | None:
    """The record of a process that still runs."""
    return next((record for record in records(folder) if record.name == name and record.alive), None)


def require_alive(record: Record) -> None:
    """Raise with the process's log when it has ended."""
    if not record.alive:
        raise ClusterError(f"{record.name} ended by itself", Path(record.log))


def stop(record: Record, seconds: float = STOP_SECONDS) -> None:
    """Ask the process to end, then make it; return when it has."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(record.pid)
        try:
            if record.alive:
                _end(descriptor, seconds)
        finally:
            os.close(descriptor)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)


def stop_all(folder: Path) -> None:
    """Stop what is recorded under `folder`, the last started first."""
    for record in reversed(records(folder)):
        stop(record)
        (folder / "pids" / f"{record.name}.json").unlink(missing_ok=True)


def _end(descriptor: int, seconds: float) -> None:
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, None)):
        signal.pidfd_send_signal(descriptor, number)
        if select.select([descriptor], [], [], patience)[0]:
            return
