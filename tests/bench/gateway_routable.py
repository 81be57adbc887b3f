"""How soon a new model and a new key answer, among thousands, by the agent's watch of a real API server."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import yaml

from hack.cluster.api import Api
from hack.cluster.cache import REPOSITORY
from hack.cluster.control_plane import ControlPlane
from hack.cluster.progress import Steps
from llmservice_api.names import GROUP, VERSION
from tests.bench import gateway_ours as ours
from tests.bench.gateway_target import CHAT, Target
from tests.bench.gateway_targets import Bench, ours_of_cluster
from tests.eventually import eventually
from tests.unit.gateway.builders import secret_key

Json = dict[str, Any]

_CRDS: Final = REPOSITORY / "crds"
_WRITERS: Final = 16
_BETWEEN: Final = 0.002
"""Seconds between two looks whether it answers."""
_LONGEST: Final = 30.0


@dataclass(frozen=True)
class Crowd:
    """How many models and keys there are, and how many are added, one after the other."""

    models: int = 2000
    keys: int = 10_000
    added: int = 100


QUICK: Final = Crowd(models=50, keys=100, added=10)


class Writer(Api):
    """Writes objects with their status as an admin, as the operator would; over connections that are kept."""

    def __init__(self, kubeconfig: Path, session: aiohttp.ClientSession) -> None:
        super().__init__(kubeconfig)
        self._session = session

    async def create(self, plural: str, kind: str, raw: Json) -> None:
        """The object, then its status; raises aiohttp's error for a refusal."""
        name = raw["metadata"]["name"]
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{ours.NAMESPACE}/{plural}"
        spec = {field: value for field, value in raw["spec"].items() if field != "fieldOfTomorrow"}
        whole = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self._send("POST", path, whole, "application/json")
        await self._send("PATCH", f"{path}/{name}/status", {"status": raw["status"]}, "application/merge-patch+json")

    async def _send(self, method: str, path: str, body: Json, content_type: str) -> None:
        headers = {"content-type": content_type}
        async with self._session.request(
            method, self.server + path, data=json.dumps(body), headers=headers, ssl=self._context, raise_for_status=True
        ) as response:
            await response.read()


def measure(bench: Bench, crowd: Crowd) -> Json:
    """Seconds from the first word of a new object to its first 200, median and p99; and the gateway's memory."""
    with ControlPlane(steps=bench.steps) as cluster:
        cluster.apply([yaml.safe_load(file.read_text()) for file in sorted(_CRDS.glob("*.yaml"))])
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        cluster.kubectl("create", "namespace", ours.NAMESPACE)
        return asyncio.run(_measure(bench, cluster, crowd))


async def _measure(bench: Bench, cluster: ControlPlane, crowd: Crowd) -> Json:
    async with aiohttp.ClientSession() as session:
        api = Writer(cluster.kubeconfig, session)

        async def put_model(number: int) -> None:
            await api.create("llmservices", "LLMService", ours.service(number, bench.mock.address))

        async def put_key(number: int) -> None:
            await api.create("apikeys", "APIKey", ours.key(number))

        with bench.steps.step(f"{crowd.models} models and {crowd.keys} keys are made"):
            await _all(put_model, range(crowd.models))
            await _all(put_key, range(crowd.keys))
        target = ours_of_cluster(bench, cluster.kubeconfig)
        try:
            return await _timed(session, target, crowd, put_model, put_key, bench.steps)
        finally:
            target.end()


async def _timed(
    session: aiohttp.ClientSession,
    target: Target,
    crowd: Crowd,
    put_model: Callable[[int], Awaitable[None]],
    put_key: Callable[[int], Awaitable[None]],
    steps: Steps,
) -> Json:
    async def model_answers(number: int) -> bool:
        return await _answers(session, target, f"m{number}", ours.KEY)

    async def key_opens(number: int) -> bool:
        return await _answers(session, target, "m0", secret_key(number))

    with steps.step(f"{crowd.added} models and {crowd.added} keys are added, one after the other"):
        models = [await _until(put_model, model_answers, crowd.models + turn) for turn in range(crowd.added)]
        keys = [await _until(put_key, key_opens, crowd.keys + turn) for turn in range(crowd.added)]
    return {
        "model_routable_p50_s": round(median(models), 3),
        "model_routable_p99_s": round(p99(models), 3),
        "key_usable_p50_s": round(median(keys), 3),
        "key_usable_p99_s": round(p99(keys), 3),
        "rss_crowd_mb": round(target.rss_mb()),
        "crowd": {"models": crowd.models, "keys": crowd.keys, "added": crowd.added},
    }


async def _all(put: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    """Every number once, _WRITERS at a time."""
    left = iter(numbers)

    async def writer() -> None:
        for number in left:
            await put(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_WRITERS):
            tasks.create_task(writer())


async def _until(
    put: Callable[[int], Awaitable[None]], answers: Callable[[int], Awaitable[bool]], number: int
) -> float:
    begun = time.monotonic()
    await put(number)
    await eventually(lambda: answers(number), within=_LONGEST, every=_BETWEEN)
    return time.monotonic() - begun


async def _answers(session: aiohttp.ClientSession, target: Target, model: str, key: str) -> bool:
    url, body = f"http://{target.address}{CHAT}", {"model": model, "messages": []}
    async with session.post(url, json=body, headers={"authorization": f"Bearer {key}"}) as response:
        await response.read()
        return response.status == 200


def p99(seconds: list[float]) -> float:
    """The 99th percentile; of fewer than a hundred the largest."""
    return sorted(seconds)[min(len(seconds) - 1, int(0.99 * len(seconds)))]
