"""What a hub is asked, and what becomes of its answers; the hub here is the test's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from llmservice_api.llmservice import ModelSpec
from llmservice_operator.hub import Hub, weights
from tests.unit.operator.test_memory import MODELS, of

Json = dict[str, Any]
NAME = "Qwen3-8B"
MODEL = ModelSpec(source="hf://o/m", revision="v1/x")
LISTED, CONFIG = "/api/models/o/m/revision/v1%2Fx?blobs=true", "/o/m/resolve/v1%2Fx/config.json"
LISTING = {"siblings": [{"rfilename": "model-1.safetensors", "size": MODELS[NAME][1]}, {"rfilename": "a/b.bin"}]}


@dataclass
class AHub:
    """Answers by path as it was sent."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now: float = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        status, body = self.answers.get(request.raw_path, (404, {}))
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)


@pytest.fixture
async def there() -> AsyncIterator[AHub]:
    found = AHub({LISTED: (200, LISTING), CONFIG: (200, MODELS[NAME][0])})
    app = web.Application()
    app.router.add_get("/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def hub(there: AHub) -> AsyncIterator[Hub]:
    async with aiohttp.ClientSession() as session:
        yield Hub(session, there.url, lambda: there.now)


async def test_a_model_is_asked_for_once(there: AHub, hub: Hub) -> None:
    for _ in range(3):
        assert await hub.shape(MODEL) == of(NAME)
    assert there.asked == [LISTED, CONFIG]


NOT_ASKED = {
    "a volume": ModelSpec(source="pvc://claim/m"),
    "a bucket": ModelSpec(source="s3://bucket/m"),
    "a mirror that its author names": ModelSpec(source="hf://o/m", endpoint="http://169.254.169.254"),
}


@pytest.mark.parametrize("model", NOT_ASKED.values(), ids=NOT_ASKED)
async def test_nothing_else_is_asked(model: ModelSpec, there: AHub, hub: Hub) -> None:
    assert await hub.shape(model) is None
    assert there.asked == []


async def test_an_installation_without_a_hub_asks_nobody(there: AHub) -> None:
    async with aiohttp.ClientSession() as session:
        assert await Hub(session, None, lambda: there.now).shape(MODEL) is None
    assert there.asked == []


BROKEN: dict[str, tuple[int, Any]] = {
    "private": (401, {}),
    "no JSON": (200, "<html>"),
    "no object": (200, []),
    "no weights": (200, {"siblings": []}),
    "endless": (200, "x" * 5_000_000),
    "nested": (200, "[" * 100_000),
    "files that are none": (200, {"siblings": ["a"]}),
    "a file without end": (200, '{"siblings": [{"rfilename": "model.safetensors", "size": 1e999}]}'),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_a_model_that_it_does_not_tell_of_is_asked_for_again_after_five_minutes(
    answer: tuple[int, Any], there: AHub, hub: Hub
) -> None:
    there.answers[LISTED] = answer
    assert await hub.shape(MODEL) is None
    there.answers[LISTED] = (200, LISTING)
    asked, there.now = len(there.asked), 299
    assert await hub.shape(MODEL) is None
    assert len(there.asked) == asked
    there.now = 300
    assert await hub.shape(MODEL) == of(NAME)


async def test_a_hub_that_is_away_is_asked_for_nothing_for_a_minute(there: AHub, hub: Hub) -> None:
    hub._url = "http://127.0.0.1:1"
    assert await hub.shape(MODEL) is None
    hub._url, there.now = there.url, 59
    assert await hub.shape(MODEL.model_copy(update={"revision": "other"})) is None
    assert there.asked == []
    there.now = 60
    assert await hub.shape(MODEL) == of(NAME)


FILES: dict[str, tuple[dict[str, int], int]] = {
    "shards": ({"model-1.safetensors": 5, "model-2.safetensors": 6, "model.safetensors.index.json": 1}, 11),
    "the same twice": ({"model-1.safetensors": 5, "consolidated.safetensors": 5, "pytorch_model.bin": 5}, 5),
    "in a folder": ({"model.safetensors": 5, "onnx/model.safetensors": 9}, 5),
    "another name": ({"weights.safetensors": 7}, 7),
    "pickled": ({"pytorch_model-1.bin": 3, "pytorch_model-2.bin": 4}, 7),
}


@pytest.mark.parametrize(("files", "total"), FILES.values(), ids=FILES)
def test_what_the_weights_weigh(files: dict[str, int], total: int) -> None:
    assert weights({"siblings": [{"rfilename": name, "size": size} for name, size in files.items()]}) == total
