"""What the host was like before a cluster, so that down can put it back: a record in the state folder."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.cluster import command, network

FOREIGN_FOLDERS = ("/run/containerd", "/var/lib/cni", "/run/cni", "/var/log/containers", "/var/log/pods", "/run/netns")
"""Folders that containerd, CNI and the kubelet write to wherever they are told to keep their state."""


@dataclass(frozen=True)
class Before:
    """What is put back."""

    folders: list[str]
    tables: list[str]
    forwarding: str


def observe() -> Before:
    return Before(
        folders=[folder for folder in FOREIGN_FOLDERS if Path(folder).exists()],
        tables=network.tables(),
        forwarding=network.FORWARDING.read_text(),
    )


def remember(file: Path) -> None:
    """Write what is there now, unless an earlier start that was not cleaned has."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(observe())))


def restore(file: Path) -> None:
    """Put back tables, sysctls and folders."""
    if not file.is_file():
        return
    before = Before(**json.loads(file.read_text()))
    network.down(before.tables, before.forwarding)
    for folder in FOREIGN_FOLDERS:
        if folder not in before.folders:
            unmount_below([Path(folder)])
            shutil.rmtree(folder, ignore_errors=True)
    file.unlink()


def mounts_below(folders: Iterable[Path]) -> list[str]:
    """Mount points under the folders, the deepest first."""
    roots = tuple(f"{folder}/" for folder in folders)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {line.split()[4].encode().decode("unicode_escape") for line in lines}
    return sorted((point for point in points if f"{point}/".startswith(roots)), key=len, reverse=True)


def unmount_below(folders: Iterable[Path]) -> None:
    """Unmount all of them; a mount on a mount needs a second round."""
    chosen = list(folders)
    while points := mounts_below(chosen):
        for point in points:
            command.output(["umount", "--lazy", point])
