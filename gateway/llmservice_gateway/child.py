"""HAProxy as a child process: its life is the container's."""

import asyncio
import os
import signal
from pathlib import Path

from llmservice_gateway.desired import NAMES, TOLD
from llmservice_gateway.haproxy import PEPPER_VARIABLE, render
from llmservice_gateway.pepper import Pepper
from llmservice_gateway.settings import Settings


class HAProxyFailed(Exception):
    """HAProxy did not start; its own words are in the log."""


class HAProxy:
    """A started HAProxy."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ended(self) -> int:
        """Waits for its end; the exit status."""
        return await self._process.wait()

    def drain(self) -> None:
        """Takes no new connections, finishes what is under way, then ends (at the latest after drain_timeout)."""
        self._signal(signal.SIGUSR1)

    def stop(self) -> None:
        """Ends at once."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)


def prepare(settings: Settings) -> Path:
    """Writes haproxy.cfg and the empty map files into the run directory; the path of the configuration."""
    settings.maps.mkdir(parents=True, exist_ok=True)
    for name in (*NAMES, *TOLD):
        (settings.maps / f"{name}.map").write_text("")
    path = settings.run_directory / "haproxy.cfg"
    path.write_text(render(settings), encoding="utf-8")
    return path


async def start(settings: Settings, pepper: Pepper, wait: float = 10.0) -> HAProxy:
    """Starts HAProxy and returns once its runtime socket is there; raises HAProxyFailed."""
    path = prepare(settings)
    settings.socket.unlink(missing_ok=True)
    environment = {"PATH": os.environ.get("PATH", os.defpath), PEPPER_VARIABLE: pepper.base64}
    try:
        process = await asyncio.create_subprocess_exec(settings.haproxy, "-db", "-f", str(path), env=environment)
    except OSError as error:
        raise HAProxyFailed(f"{settings.haproxy} cannot be run: {error}") from error
    try:
        async with asyncio.timeout(wait):
            while not settings.socket.exists():
                if process.returncode is not None:
                    raise HAProxyFailed(f"HAProxy ended with status {process.returncode}")
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        process.kill()
        raise HAProxyFailed(f"HAProxy made no socket within {wait:.0f} s") from error
    return HAProxy(process)
