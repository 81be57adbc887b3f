"""Free ports, each handed to one asker only while that asker lives."""

import contextlib
import fcntl
import random
import socket
from io import TextIOWrapper

from hack.cluster.cache import cache_root
from hack.cluster.failure import ClusterError

RANGE = range(20000, 30000)
"""Below the kernel's range for outgoing connections, so that none of those takes a port in between."""


class Ports:
    """Picks ports; holds a file lock on each until `release`, as the listener comes later than the choice."""

    def __init__(self) -> None:
        self._locks: list[TextIOWrapper] = []

    def take(self) -> int:
        for port in random.sample(RANGE, len(RANGE)):
            if self._reserve(port):
                return port
        raise ClusterError("no free port on this machine")

    def release(self) -> None:
        for stream in self._locks:
            stream.close()
        self._locks.clear()

    def _reserve(self, port: int) -> bool:
        folder = cache_root() / "locks" / "ports"
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / f"{port}.lock").open("w")
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _bindable(port):
                self._locks.append(stream)
                return True
        stream.close()
        return False


def _bindable(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
