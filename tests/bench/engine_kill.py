"""From SIGKILL of an engine's process to the first good answer through the whole way."""

import asyncio
import json
import time
from typing import Final

import aiohttp

from tests.bench.load import Target, stream
from tests.e2e.site import Site
from tests.eventually import eventually

TIMEOUT_S: Final = 300.0
_ASK_AGAIN_S: Final = 0.1
_KILL: Final = """
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if (process / "cmdline").read_bytes().startswith(b"VLLM::EngineCore"):
        os.kill(int(process.name), signal.SIGKILL)
        print(process.name)
"""


def kill_engine(site: Site, room: str, service: str) -> list[str]:
    """Kill the engine's process in each worker pod of the service; their process ids."""
    selector = f"llmservice.io/service={service},ray.io/node-type=worker"
    listed = json.loads(site.api.kubectl("get", "pods", f"--namespace={room}", f"--selector={selector}", "-o", "json"))
    killed: list[str] = []
    for pod in listed["items"]:
        words = ("exec", pod["metadata"]["name"], f"--namespace={room}", "--container=ray-worker", "--")
        killed += site.api.kubectl(*words, "python", "-c", _KILL).split()
    return killed


async def until_answer(target: Target, timeout: float = TIMEOUT_S) -> float:
    """Seconds until a stream of 8 tokens is answered whole; raises TimeoutError."""
    begun = time.monotonic()
    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit) as session:
        await eventually(lambda: _answers(session, target), within=timeout, every=_ASK_AGAIN_S)
    return time.monotonic() - begun


async def _answers(session: aiohttp.ClientSession, target: Target) -> bool:
    try:
        return not (await stream(session, target, tokens=8)).error
    except aiohttp.ClientError:
        return False


def kill_to_answer(site: Site, room: str, service: str, target: Target) -> float:
    """Seconds from the death of the service's engine to the first whole answer."""
    killed = kill_engine(site, room, service)
    assert killed, "no engine was found to kill"
    return asyncio.run(until_answer(target))
