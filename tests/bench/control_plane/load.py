"""Users who apply LLMServices at a steady rate; and the floor: the same children by somebody who only writes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hack.cluster.api import Api
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.cluster import Access, Cluster, connect
from llmservice_operator.observed import Install, Observed
from llmservice_operator.plan import decide
from tests.integration.client import an_object
from tests.integration.conftest import INSTALL_NAMESPACE
from tests.integration.services import SOURCE

Json = dict[str, Any]

INSTALL: Final = Install(INSTALL_NAMESPACE, "http://gateway.invalid", "https://llm.example.com")
NAMESPACES: Final = 50
POOL: Final = {"image": "docker.io/llmservice/worker:cpu"}
_AT_ONCE: Final = 16
USER: Final = "bench-load"
UID: Final = "00000000-0000-0000-0000-000000000000"
"""The owner that stands in `children` until the real one is known."""


def service(index: int) -> Json:
    """The LLMService of a number; the numbers are spread over the namespaces."""
    spec = {"model": SOURCE, "placement": {"pools": ["cpu"]}}
    made = an_object("LLMService", f"s{index:05}", **spec)
    made["metadata"]["namespace"] = namespace(index)
    return made


def namespace(index: int) -> str:
    """Where it lies."""
    return f"bench-{index % NAMESPACES:02}"


def children(index: int) -> list[tuple[str, str]]:
    """What the operator makes of it at first, as JSON that names UID as its owner."""
    return [(plural, json.dumps(child)) for plural, child in _first_children(service(index))]


def template() -> str:
    """The same of any LLMService, with {name}, {namespace}, {uid} and {revision} where those stand."""
    obj = service(0)
    obj["metadata"] |= {"name": "its-name", "namespace": "its-namespace"}
    text = json.dumps([child for _, child in _first_children(obj)]).replace("its-namespace", "{namespace}")
    text = re.sub(r"\bits-name-[0-9a-f]{6}\b", "{name}-{revision}", text)
    return text.replace("its-name", "{name}").replace(UID, "{uid}")


def _first_children(obj: Json) -> tuple[tuple[str, Json], ...]:
    obj["metadata"] |= {"uid": UID, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    observed = Observed(
        now=datetime(2026, 1, 1, tzinfo=UTC),
        install=INSTALL,
        service=obj,
        spec=LLMServiceSpec.model_validate(obj["spec"]),
        pools={"cpu": GPUPoolSpec.model_validate(POOL)},
        node_labels=[{}],
    )
    return decide(observed).apply


@asynccontextmanager
async def as_user(kubeconfig: Path) -> AsyncIterator[Cluster]:
    """Our own client of the API server, as the user of a kubeconfig."""
    api = Api(kubeconfig)
    async with connect(Access(api.server, api._context, dict)) as cluster:
        yield cluster


Applied = Callable[[int, Json], Awaitable[None]]


async def nothing(_: int, __: Json) -> None:
    """Whoever else there is sees that it was applied."""


async def apply_all(cluster: Cluster, numbers: range, per_second: float, then: Applied = nothing) -> None:
    """Each LLMService at its time, or as soon after it as the API server allows; `then` gets what it answered."""
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)
    begun = loop.time()

    async def one(index: int) -> None:
        async with turn:
            answer = await cluster.apply("llmservices", service(index), force=True)
            await then(index, answer)

    async with asyncio.TaskGroup() as tasks:
        for count, index in enumerate(numbers):
            await asyncio.sleep(max(begun + count / per_second - loop.time(), 0))
            tasks.create_task(one(index))


def floor(cluster: Cluster, numbers: range) -> Applied:
    """Writes the children of each LLMService that was applied, side by side, made beforehand."""
    made = {index: children(index) for index in numbers}

    async def write(index: int, answer: Json) -> None:
        uid = answer["metadata"]["uid"]
        objects = [(plural, json.loads(text.replace(UID, uid))) for plural, text in made[index]]
        await asyncio.gather(*(cluster.apply(plural, obj, force=True) for plural, obj in objects))

    return write
