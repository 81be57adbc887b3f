"""What a worker pod does before it ends (its preStop hook): it leaves Ray's cluster and finishes what it has begun.

`python -m llmservice_worker.drain <seconds>` asks Ray to drain the node, so that Ray Serve starts a replacement
elsewhere and sends nothing new, then waits until no request runs here any more, at most so many seconds, and a moment
for its usage to be sent. It never fails: a pod that is to go goes. Standard library only, because it must be quick on
a busy node.
"""

import csv
import io
import logging
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmservice_worker import ports

_log = logging.getLogger(__name__)

PROXIES: Final = Path("/tmp/haproxy-serve")
METRICS: Final = f"http://127.0.0.1:{ports.SIDE}/metrics"
_RUNNING: Final = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")
_UNSENT: Final = "llmservice_usage_spool_bytes"
_QUIET_S: Final = 3.0
"""How long nothing must run: a request may just be on its way, since the Service forgets a pod only after a moment."""
_SEND_S: Final = 10.0
"""How long usage may take to be sent: what is not goes with the pod, but a ledger that is away must not keep it."""
_ASK_AGAIN_S: Final = 0.5
_TIMEOUT_S: Final = 2.0
_RAY_TIMEOUT_S: Final = 60.0
"""Ray's command loads Ray, which took 20 s on a node with ten times more work than CPUs."""


@dataclass(frozen=True)
class Work:
    """Requests that the engine of this pod has, that its proxy passes on, and proxies that only end their streams."""

    engine: int
    proxied: int
    old_proxies: int

    @property
    def is_nothing(self) -> bool:
        """Whether the pod could go without a client noticing."""
        return not (self.engine or self.proxied or self.old_proxies)


def wait_until_quiet(
    look: Callable[[], Work], clock: Callable[[], float], sleep: Callable[[float], None], most_s: float
) -> bool:
    """Look until nothing has run for a moment; False where `most_s` seconds were not enough."""
    begun = quiet_since = clock()
    while (now := clock()) - begun < most_s:
        if not look().is_nothing:
            quiet_since = now
        elif now - quiet_since >= _QUIET_S:
            return True
        sleep(_ASK_AGAIN_S)
    return False


def wait_until_sent(
    unsent: Callable[[], float], clock: Callable[[], float], sleep: Callable[[float], None], most_s: float
) -> bool:
    """Wait while there is usage that is not sent; False where `most_s` seconds were not enough."""
    begun = clock()
    while unsent():
        if clock() - begun >= most_s:
            return False
        sleep(_ASK_AGAIN_S)
    return True


def unsent_bytes(metrics: str) -> float:
    """Usage that a replica has not sent, from its metrics as text; a replica that is gone sends nothing more."""
    values = [line.rpartition(" ")[2] for line in metrics.splitlines() if line.startswith(_UNSENT)]
    return sum(map(float, values))


def engine_requests(metrics: str) -> int:
    """Requests that vLLM runs or keeps waiting, from its metrics as text."""
    values = [line.rpartition(" ")[2] for line in metrics.splitlines() if line.startswith(_RUNNING)]
    return math.ceil(sum(float(value) for value in values))


def proxied_requests(stat: str) -> int:
    """Requests that HAProxy has under way at its servers, from the answer to `show stat`."""
    rows = csv.DictReader(io.StringIO(stat.removeprefix("# ")))
    return sum(int(row["scur"] or 0) for row in rows if row.get("svname") not in ("FRONTEND", "BACKEND", None))


def old_proxies(commands: Sequence[Sequence[str]]) -> int:
    """HAProxies that a newer one has displaced, from the command lines of all processes."""
    proxies = [command for command in commands if command and Path(command[0]).name == "haproxy"]
    return max(len(proxies) - 1, 0)


def look(folder: Path = PROXIES, processes: Path = Path("/proc"), metrics: str = METRICS) -> Work:
    """What runs in this pod now; what does not answer is gone, and has nothing under way."""
    sockets = sorted(folder.glob("*/admin.sock"))
    return Work(
        engine=engine_requests(_fetched(metrics)),
        proxied=sum(proxied_requests(_asked(path, "show stat")) for path in sockets),
        old_proxies=old_proxies([_command(path) for path in processes.glob("[0-9]*/cmdline")]),
    )


def leave_command(folder: Path, environment: Mapping[str, str], most_s: float) -> list[str] | None:
    """Ray's command that drains this node, whose id the proxy's folder bears; None without a proxy or a cluster."""
    node = next((path.parent.name for path in sorted(folder.glob("*/admin.sock"))), None)
    address = environment.get("RAY_ADDRESS")
    if node is None or not address:
        return None
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the pod is to go"]
    deadline = ["--deadline-remaining-seconds", str(int(most_s))]
    return ["ray", "drain-node", "--address", address, "--node-id", node, *reason, *deadline]


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _asked(path: Path, question: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(f"{question}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    except OSError:
        return ""


def _command(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended meanwhile
        return []


def _leave(command: Sequence[str] | None, most_s: float) -> None:
    if command is None:
        return
    try:
        subprocess.run(command, timeout=min(_RAY_TIMEOUT_S, most_s), check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("Ray was not told that this node goes: %s", error)


def main(most_s: float) -> bool:
    """Leave and wait; whether all that had begun was finished."""
    begun = time.monotonic()
    _leave(leave_command(PROXIES, os.environ, most_s), most_s / 2)
    left = most_s - (time.monotonic() - begun)
    finished = wait_until_quiet(look, time.monotonic, time.sleep, left)
    if not wait_until_sent(lambda: unsent_bytes(_fetched(METRICS)), time.monotonic, time.sleep, _SEND_S):
        _log.error("usage that the ledger did not take goes with this pod")
    return finished


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    _log.info("drained: %s", main(float(sys.argv[1])))
