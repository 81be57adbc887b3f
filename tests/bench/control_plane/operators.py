"""Who is measured: ours, a Go one, a naive one, the floor that only writes. Each is another user in the audit log."""

import os
import re
import sys
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from hack.cluster import process
from hack.cluster.control_plane import ControlPlane
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps
from llmservice_operator.cluster import Cluster
from tests.bench.control_plane import load
from tests.bench.programs import built
from tests.chaos.operator.subject import SPAWNED, Subject, lease_lapses, subject
from tests.integration.client import Client
from tests.integration.gateway_stack import free_ports

Json = dict[str, Any]

_GROUPS: Final = ("system:masters",)
_WORKERS: Final = 16
"""Of ours, as the chart has it, and of the Go one."""
_PEER: Final = Path(__file__).parents[1] / "peers" / "control_plane_go"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Counter:
    """A sample of a /metrics page."""

    url: str
    sample: str

    def read(self) -> float:
        """Its value; 0 while nothing answers."""
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        found = re.search(rf"^{re.escape(self.sample)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0


class Operator(Protocol):
    """What makes children of LLMServices; `user` is as whom it writes."""

    name: ClassVar[str]
    user: ClassVar[str]

    def start(self, plane: ControlPlane, folder: Path) -> None:
        """Begin."""

    def stop(self) -> None:
        """End it, however it is."""

    def require_alive(self) -> None:
        """ClusterError where it has ended by itself."""

    def is_ready(self) -> bool:
        """Whether it would see an LLMService now."""

    def writer(self, cluster: Cluster, numbers: range) -> load.Applied:
        """What it does in the loader's place, where it does not watch by itself."""

    def pid(self) -> int | None:
        """Its process, where it has one."""

    @property
    def counter(self) -> Counter | None:
        """Where it tells how often it has reconciled, and can therefore be asked what a restart costs."""

    def restart(self) -> None:
        """Killed, and begun again."""


class Ours:
    """The operator as it is, but that its one-token requests are answered at once."""

    name: ClassVar[str] = "ours"
    user: ClassVar[str] = "bench-ours"

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._subject: Subject
        self._client: Client

    def start(self, plane: ControlPlane, folder: Path) -> None:
        """With the workers and the relist interval that the chart has; a start loads the interpreter, as there."""
        self._client = Client(plane.kubeconfig)
        kubeconfig = plane.user(self.user, _GROUPS)
        self._subject = self._stack.enter_context(
            subject(kubeconfig, folder, relist_seconds=300, workers=_WORKERS, context=SPAWNED)
        )
        self._subject.start()

    def stop(self) -> None:
        """With SIGKILL."""
        self._stack.close()

    def restart(self) -> None:
        """Killed, and begun again, as if its Lease had lapsed meanwhile."""
        self._subject.kill()
        lease_lapses(self._client)
        self._subject.start()

    def require_alive(self) -> None:
        """Raise with its log where it has ended."""
        if not self._subject.is_running:
            raise ClusterError("ours ended by itself", self._subject.log)

    def is_ready(self) -> bool:
        """All watchers live."""
        return self._subject.is_live

    def writer(self, _: Cluster, __: range) -> load.Applied:
        """It watches by itself."""
        return load.nothing

    def pid(self) -> int | None:
        """The process that is killed."""
        return self._subject.pid

    @property
    def counter(self) -> Counter:
        """Reconciles of LLMServices."""
        url = f"http://127.0.0.1:{self._subject.settings.port}/metrics"
        return Counter(url, 'llmservice_reconcile_seconds_count{kind="LLMService"}')


class _Process:
    """A peer that is a program; its kubeconfig and folder come with `start`."""

    user: ClassVar[str]

    def __init__(self) -> None:
        self._record: process.Record
        self._start: Callable[[], process.Record]

    def _started(self, words: list[str | Path], plane: ControlPlane, folder: Path) -> None:
        environment = {"KUBECONFIG": str(plane.user(self.user, _GROUPS)), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._start = partial(process.start, self.user, words, folder, environment)
        self._record = self._start()

    def stop(self) -> None:
        """With SIGTERM first."""
        process.stop(self._record)

    def restart(self) -> None:
        """Killed, and begun again: to wait for its good end would count as a part of its start."""
        process.stop(self._record, 0)
        self._record = self._start()

    def require_alive(self) -> None:
        """Raise with its log where it has ended."""
        process.require_alive(self._record)

    def writer(self, _: Cluster, __: range) -> load.Applied:
        """It watches by itself."""
        return load.nothing

    def pid(self) -> int | None:
        """The process that was started."""
        return self._record.pid


class Naive(_Process):
    """tests/bench/control_plane/naive.py."""

    name: ClassVar[str] = "naive"
    user: ClassVar[str] = "bench-naive"

    def start(self, plane: ControlPlane, folder: Path) -> None:
        """As a process of its own."""
        self._started([sys.executable, "-m", "tests.bench.control_plane.naive"], plane, folder)

    def is_ready(self) -> bool:
        """LLMServices that come before it watches are found by its first list."""
        return True

    @property
    def counter(self) -> None:
        """It counts nothing."""


class Go(_Process):
    """tests/bench/peers/control_plane_go, with as many workers as ours."""

    name: ClassVar[str] = "go"
    user: ClassVar[str] = "bench-go"

    def start(self, plane: ControlPlane, folder: Path) -> None:
        """Built first, where that was not done yet."""
        templates = folder / "children.json"
        templates.write_text(load.template())
        self._metrics, self._health = (f"127.0.0.1:{port}" for port in free_ports(2))
        addresses = ["--metrics", self._metrics, "--health", self._health, "--workers", str(_WORKERS)]
        words: list[str | Path] = [built(_PEER, Steps()), "--children", templates, *addresses]
        self._started(words, plane, folder)

    def is_ready(self) -> bool:
        """Its caches are filled."""
        try:
            with urllib.request.urlopen(f"http://{self._health}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def counter(self) -> Counter:
        """Reconciles that did not fail."""
        sample = 'controller_runtime_reconcile_total{controller="llmservice",result="success"}'
        return Counter(f"http://{self._metrics}/metrics", sample)


class Floor:
    """The API server alone: whoever applies an LLMService also applies its children, made beforehand."""

    name: ClassVar[str] = "floor"
    user: ClassVar[str] = load.USER

    def start(self, plane: ControlPlane, folder: Path) -> None:
        """The loader is all there is."""

    def stop(self) -> None:
        """Nothing runs."""

    def require_alive(self) -> None:
        """Nothing runs."""

    def restart(self) -> None:
        """Nothing runs."""

    @property
    def counter(self) -> None:
        """It reconciles nothing."""

    def is_ready(self) -> bool:
        """Always."""
        return True

    def writer(self, cluster: Cluster, numbers: range) -> load.Applied:
        """The children."""
        return load.floor(cluster, numbers)

    def pid(self) -> int | None:
        """None: what it costs is the loader's."""
        return None


OPERATORS: Final = (Floor, Naive, Go, Ours)


def cpu_seconds(pid: int) -> float:
    """Of all its threads since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most that was resident since it began."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, line: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.findall(rf"^{line}:\s+(\d+)", text, re.MULTILINE)[0]) / 1024, 1)
