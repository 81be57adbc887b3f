"""A control group of our own: all that the node starts is in it, so that all of it can be found and ended."""

import contextlib
import hashlib
import os
import select
import signal
from pathlib import Path

from hack.cluster.cache import SYSTEM_STATE, state_root

MOUNT = Path("/sys/fs/cgroup")


def name() -> str:
    """The group's name; a cluster whose state lies elsewhere has one of its own, and cannot end another's processes."""
    root = state_root()
    suffix = "" if root == SYSTEM_STATE else f"-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"
    return f"llmservice-cluster{suffix}"


class ControlGroup:
    """One group in every hierarchy (cgroup v1), or in the only one (v2)."""

    def __init__(self, mount: Path = MOUNT) -> None:
        self._mount = mount

    @property
    def unified(self) -> bool:
        return (self._mount / "cgroup.controllers").is_file()

    def hierarchies(self) -> list[Path]:
        """The group's folder in each hierarchy; runc uses the unified one too where it is mounted beside the others."""
        if self.unified:
            return [self._mount / name()]
        mounts = [folder for folder in self._mount.iterdir() if (folder / "cgroup.procs").is_file()]
        return sorted({folder.resolve() / name() for folder in mounts})

    def create(self) -> None:
        """Make the group; a kubelet refuses a root group that is missing anywhere."""
        for folder in self.hierarchies():
            folder.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if not self.unified and (folder / setting).is_file():
                    (folder / setting).write_text((folder.parent / setting).read_text())

    def add_runtime(self, pid: int) -> None:
        """Put a process, and what it will start, into the leaf `runtime`."""
        leaf = self._tracking() / "runtime"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(pid))

    def members(self) -> set[int]:
        """Every process of the group and of the groups below it."""
        found: set[int] = set()
        for folder in self.hierarchies():
            for file in folder.rglob("cgroup.procs"):
                found.update(int(word) for word in file.read_text().split())
        return found

    def remove(self) -> None:
        """Kill what is left in the group, then delete it."""
        while members := self.members():
            for pid in members:
                _kill(pid)
        for folder in self.hierarchies():
            for child in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
                if child.is_dir():
                    child.rmdir()
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()

    def _tracking(self) -> Path:
        """The hierarchy that says who belongs to us: one without a limit of its own where there is one."""
        return next(
            (folder for folder in self.hierarchies() if folder.parent.name in ("systemd", "pids")),
            self.hierarchies()[0],
        )


def _kill(pid: int) -> None:
    """Kill and wait until the process is gone (a zombie counts as gone)."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 10)
        finally:
            os.close(descriptor)
