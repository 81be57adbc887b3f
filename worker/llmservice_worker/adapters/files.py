"""Where adapters' files come from, and the private copies that the engine loads them from.

A copy, because an engine may read an adapter again at any step: files that change or go under it would end the engine
for everybody. What was checked is what is loaded.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from llmservice_worker.adapters.checks import FILES, Base, Fault, fault
from llmservice_worker.args import MODELS_ROOT
from llmservice_worker.fetch.failure import Reason, is_full

_VOLUME: Final = "pvc://"

Fetch = Callable[[str, Path], None]
"""Brings what a URI names into an empty directory, verified, or raises Fault. Blocks."""


class Files(Protocol):
    """Adapters' files on this machine; both block."""

    def bring(self, source: str) -> Path:
        """A directory of its own with the adapter, checked; raises Fault."""

    def drop(self, directory: Path) -> None:
        """A directory that `bring` gave is needed no more."""


class AdapterFiles:
    """Copies of adapters under `root`. `shared`: other nodes read them too, so they must stay where they are."""

    def __init__(
        self, root: Path, base: Base, fetch: Fetch, *, volumes: Path = Path(MODELS_ROOT), shared: bool = False
    ) -> None:
        self._root = root
        self._base = base
        self._fetch = fetch
        self._volumes = volumes
        self._shared = shared

    def bring(self, source: str) -> Path:
        """The adapter of a URI, checked, in a directory that nobody else changes; raises Fault."""
        if self._shared:
            return self._in_place(source)
        self._root.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(dir=self._root))
        try:
            self._fill(directory, source)
            self._check(directory, source)
        except OSError as error:
            self.drop(directory)
            raise _of_disk(error, source) from None
        except Fault:
            self.drop(directory)
            raise
        return directory

    def drop(self, directory: Path) -> None:
        """Remove a copy; a directory that is not ours stays."""
        if directory.is_relative_to(self._root):
            shutil.rmtree(directory, ignore_errors=True)

    def _fill(self, directory: Path, source: str) -> None:
        mounted = self._mounted(source)
        if mounted is None:
            return self._fetch(source, directory)
        self._check(mounted, source)
        for name in FILES:
            shutil.copyfile(mounted / name, directory / name)
        return None

    def _in_place(self, source: str) -> Path:
        mounted = self._mounted(source)
        if mounted is None:
            message = f"adapter source {source}: a replica over several nodes loads adapters from pvc:// only"
            raise Fault("NotSupported", message)
        self._check(mounted, source)
        return mounted

    def _mounted(self, source: str) -> Path | None:
        """Where a volume's source lies; None for what must be fetched. Raises Fault for what leads out of it."""
        if not source.startswith(_VOLUME):
            return None
        parts = source.removeprefix(_VOLUME).split("/")
        if ".." in parts:
            raise Fault(Reason.SOURCE_NOT_FOUND, f"adapter source {source} contains '..': name the directory itself")
        return self._volumes.joinpath(*parts)

    def _check(self, directory: Path, source: str) -> None:
        wrong = fault(directory, self._base, source)
        if wrong is not None:
            raise wrong


def _of_disk(error: OSError, source: str) -> Fault:
    if is_full(error):
        return Fault(
            Reason.DISK_FULL, f"adapter source {source}: no room for it in the pod's /cache: use fewer adapters"
        )
    return Fault(Reason.SOURCE_UNREACHABLE, f"adapter source {source} cannot be read: {error.strerror}")
