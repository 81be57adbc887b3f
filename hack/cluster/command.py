"""Run a command to its end; its output goes to the caller or into a log, its failure becomes a ClusterError."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.failure import ClusterError


def output(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> str:
    """Standard output of `argv`; the error's last lines in the message when it fails."""
    done = subprocess.run(
        [str(word) for word in argv],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=directory,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise ClusterError(f"{_short(argv)} failed ({done.returncode}): {last}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether `argv` exists and ends with status 0; its output is dropped."""
    try:
        done = subprocess.run([str(word) for word in argv], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def logged(
    argv: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> None:
    """Run `argv` with all its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        done = subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            check=False,
        )
    if done.returncode != 0:
        raise ClusterError(f"{_short(argv)} failed ({done.returncode})", log)


def _short(argv: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in argv[:4])
