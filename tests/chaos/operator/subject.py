"""The operator as a process of its own, so that SIGKILL ends it; only its one-token requests are answered by the rig.

Forked from a server that has imported everything: a start costs a tenth of a second, not two. Spawned where what a
start costs is measured.
"""

import asyncio
import base64
import http.client
import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path
from typing import Final

from llmservice_api.json_lines import JsonLines
from llmservice_api.names import OPERATOR_LEASE
from llmservice_operator.__main__ import run
from llmservice_operator.observed import Install
from llmservice_operator.settings import Settings
from tests.integration.client import Client
from tests.integration.conftest import INSTALL_NAMESPACE
from tests.integration.gateway_stack import free_ports
from tests.integration.operator_run import PEPPER, PUBLIC, Tokens

_FORKED: Final = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload([__name__])
SPAWNED: Final = multiprocessing.get_context("spawn")
WORKERS: Final = 8

LEASE: Final = ("leases", INSTALL_NAMESPACE, OPERATOR_LEASE)
LEASE_S: Final = 600.0
"""The rig takes Leases away itself; nobody loses one because a busy machine has no time for it for a minute."""


@dataclass
class Subject:
    """An operator that can be killed and started again; its log is one file."""

    kubeconfig: Path
    settings: Settings
    log: Path
    context: ForkServerContext | SpawnContext = _FORKED
    _process: ForkServerProcess | SpawnProcess | None = None

    def start(self) -> None:
        """Starts it; it need not have ended by itself."""
        assert not self.is_running
        self._process = self.context.Process(target=_main, args=(self.kubeconfig, self.settings, self.log))
        self._process.start()

    def kill(self) -> None:
        """SIGKILL; returns once it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.join()

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Of the process, where it was started."""
        return self._process.pid if self._process is not None else None

    @property
    def is_live(self) -> bool:
        """Whether its liveness probe is green."""
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def lease_lapses(client: Client) -> None:
    """The Lease is taken away from whoever has it."""
    if client.find(*LEASE):
        client.delete(*LEASE)


@contextmanager
def subject(
    kubeconfig: Path,
    folder: Path,
    relist_seconds: float,
    lease_seconds: float = LEASE_S,
    workers: int = WORKERS,
    context: ForkServerContext | SpawnContext = _FORKED,
) -> Iterator[Subject]:
    """Not started yet; ended with the block."""
    pepper = folder / "pepper"
    pepper.write_text(base64.b64encode(PEPPER).decode())
    settings = Settings(
        install=Install(INSTALL_NAMESPACE, "http://gateway.invalid", PUBLIC),
        pepper_file=pepper,
        namespaces=(),
        workers=workers,
        relist_seconds=relist_seconds,
        port=free_ports(1)[0],
        lease_seconds=lease_seconds,
    )
    found = Subject(kubeconfig, settings, folder / "operator.log", context)
    try:
        yield found
    finally:
        if found.is_running:
            found.kill()


def _main(kubeconfig: Path, settings: Settings, log: Path) -> None:
    handler = logging.FileHandler(log)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    os.environ["KUBECONFIG"] = str(kubeconfig)
    asyncio.run(run(settings, Tokens()))
