"""The parts that are killed and started again, each its own real process; a kill returns the ids that are gone."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.eventually import eventually
from tests.integration.gateway_stack import free_ports
from tests.integration.haproxy_program import haproxy
from tests.unit.gateway.builders import PEPPER

_PATIENCE_S: Final = 120
_PORTS: Final = ("PUBLIC_PORT", "METRICS_PORT", "AGENT_PORT", "INNER_PORT")


@dataclass(frozen=True)
class Place:
    """Where a process finds what it needs; `variables` stand in its environment beside the usual ones."""

    folder: Path
    kubeconfig: Path
    ledger_url: str
    token: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """This process's, fit for a child that runs our modules and reads KUBECONFIG."""
        inherited = {name: text for name, text in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
        return inherited | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(self.variables)


class GatewayProcess:
    """`python -m llmservice_gateway` as the first process of its own PID namespace, as it is in its container."""

    def __init__(self, name: str, place: Place) -> None:
        self._folder = place.folder / name
        (self._folder / "run").mkdir(parents=True)
        pepper = self._folder / "pepper"
        pepper.write_text(PEPPER.base64)
        ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
        self.url = f"http://127.0.0.1:{ports['PUBLIC_PORT']}"
        self.agent_url = f"http://127.0.0.1:{ports['AGENT_PORT']}"
        settings = ports | {
            "ADDRESS": "127.0.0.1",
            "NAME": name,
            "THREADS": "1",
            "MAX_CONNECTIONS": "500",
            "RUN_DIRECTORY": str(self._folder / "run"),
            "PEPPER_FILE": str(pepper),
            "LEDGER_URL": place.ledger_url,
            "LEDGER_TOKEN": str(place.token),
        }
        own = {f"LLMSERVICE_GATEWAY_{each}": text for each, text in settings.items()}
        usual = {"LLMSERVICE_GATEWAY_HAPROXY": haproxy()}
        self._environment = usual | place.environment | own | {"KUBECONFIG": str(place.kubeconfig)}
        self._container: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it and waits until it is ready."""
        words = ("unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "llmservice_gateway")
        with (self._folder / "log").open("ab") as log:
            self._container = await asyncio.create_subprocess_exec(
                *words, env=self._environment, stdout=log, stderr=log
            )
        await eventually(self._is_ready, _PATIENCE_S, 0.1)

    async def kill(self, *victims: str) -> Sequence[int]:
        """SIGKILL to these of `agent` and `haproxy`; returns once the container has ended, with all process ids."""
        assert self._container is not None
        processes = self._processes()
        for each in victims:
            os.kill(processes[each], signal.SIGKILL)
        await asyncio.wait_for(self._container.wait(), _PATIENCE_S)
        return list(processes.values())

    async def stop(self) -> None:
        """Ends whatever of it runs."""
        if self._container is not None and self._container.returncode is None:
            self._container.kill()
            await self._container.wait()

    def _processes(self) -> Mapping[str, int]:
        assert self._container is not None
        agent = _child(self._container.pid)
        return {"agent": agent, "haproxy": _child(agent)}

    async def _is_ready(self) -> bool:
        assert self._container is not None
        assert self._container.returncode is None, (self._folder / "log").read_text()
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.agent_url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


class WorkerProcess:
    """`python -m tests.chaos.worker`: it is the one that lives."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._port = free_ports(1)[0]
        self.address = f"127.0.0.1:{self._port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it and waits until it listens."""
        place = self._place
        words = (str(self._port), str(place.folder), place.ledger_url, str(place.token))
        with (place.folder / "worker.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.worker", *words),
                env=place.environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        await eventually(self._listens, _PATIENCE_S, 0.05)

    async def finish(self) -> int:
        """Ends it in order, once it has sent the rest; how many events it says it lost."""
        assert self._process is not None
        self._process.terminate()
        said, _ = await self._process.communicate()
        assert self._process.returncode == 0, (self._place.folder / "worker.log").read_text()
        return int(said)

    async def stop(self) -> None:
        """Ends it where it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, (self._place.folder / "worker.log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionError:
            return False
        writer.close()
        return True


def _child(parent: int) -> int:
    """The one child of a process."""
    (found,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(found)


def is_gone(pid: int) -> bool:
    """Whether no process has that id, not even one that nobody has waited for."""
    return not Path(f"/proc/{pid}").exists()
