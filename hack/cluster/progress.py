"""Steps on the terminal: a spinner with elapsed time, plain lines where there is no terminal, silence in tests."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hack.cluster.failure import ClusterError


class Steps:
    """Says which step runs and how long each took."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    @classmethod
    def quiet(cls) -> "Steps":
        return cls(Console(quiet=True))

    @contextlib.contextmanager
    def step(self, name: str, log: Path | None = None) -> Iterator[None]:
        """Show `name` while the body runs; a ClusterError without a log gets this step's."""
        begun = time.monotonic()
        try:
            with self._shown(name):
                yield
        except ClusterError as error:
            error.log = error.log or log
            self._console.print(f"[red]✗[/red] {name} ({time.monotonic() - begun:.1f} s)")
            raise
        self._console.print(f"[green]✓[/green] {name} ({time.monotonic() - begun:.1f} s)")

    def say(self, text: str) -> None:
        self._console.print(text)

    @contextlib.contextmanager
    def _shown(self, name: str) -> Iterator[None]:
        if not self._console.is_terminal:
            self._console.print(f"… {name}")
            yield
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(name, total=None)
            yield
