"""Adapters are names of their namespace like models; a key that names one opens that one and nothing else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

ALL, BASE, ONE, DYNAMIC, ONE_DYNAMIC = (secret_key(number) for number in range(1, 6))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running() as stack:
        here = stack.upstream.address
        await stack.put(
            "llmservices",
            llmservice("tuned", model="org/base", adapters=["legal", "med", "bad"], failed=["bad"], address=here),
            llmservice("folder", aliases=["f"], dynamic=True, address=here),
            llmservice("plain", address=here),
        )
        await stack.put(
            "apikeys",
            apikey(1),
            apikey(2, models=["org/base", "folder"]),
            apikey(3, models=["legal"]),
            apikey(4, models=["f:*"]),
            apikey(5, models=["folder:a"]),
        )
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    return gateway


OPEN = [
    *((ALL, model) for model in ("legal", "med", "folder:a", "folder:A_b-1.2", "f:a")),
    *((BASE, model) for model in ("org/base", "legal", "med", "folder:a", "f:b")),
    (ONE, "legal"),
    *((DYNAMIC, model) for model in ("f:a", "f:b")),
    (ONE_DYNAMIC, "folder:a"),
]


@pytest.mark.parametrize(("key", "model"), OPEN)
async def test_an_adapter_answers_under_its_own_name(stack: Stack, key: str, model: str) -> None:
    assert (await stack.post("/v1/chat/completions", {"model": model}, key)).status == 200
    assert stack.upstream.seen[-1][1]["x-llmservice-route"] in ("team-a/tuned", "team-a/folder")


CLOSED = [
    *((ALL, model) for model in ("bad", "plain:a", "org/base:a", "folder:", "folder:../x", "folder:a/b", "x:y")),
    *((ALL, model) for model in ("folder:a:b", "folder:-a", "folder:.a", ":a", "folder:" + "a" * 200)),
    *((ONE, model) for model in ("org/base", "med", "folder", "folder:a")),
    *((DYNAMIC, model) for model in ("f", "folder", "folder:a", "legal")),
    *((ONE_DYNAMIC, model) for model in ("folder", "folder:b", "f:a")),
]


@pytest.mark.parametrize(("key", "model"), CLOSED)
async def test_what_the_key_does_not_open_does_not_exist(stack: Stack, key: str, model: str) -> None:
    answer = await stack.post("/v1/chat/completions", {"model": model}, key)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert stack.upstream.seen == []


@pytest.mark.parametrize("key", [ONE, DYNAMIC, ONE_DYNAMIC])
@pytest.mark.parametrize("service", ["tuned", "folder"])
async def test_a_key_for_an_adapter_does_not_open_the_url_where_no_name_is_read(
    stack: Stack, key: str, service: str
) -> None:
    answer = await stack.post(f"/team-a/{service}/v1/chat/completions", {"model": "legal"}, key)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert stack.upstream.seen == []


FIELD = '--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'
FILE = '--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + "\0" * 50_000 + "\r\n"


@pytest.mark.parametrize(
    ("key", "parts", "status"),
    [
        (ONE, FIELD % "legal" + FILE, 200),
        (ONE, FILE + FIELD % "legal", 200),
        (BASE, FIELD % "legal" + FILE, 200),
        (DYNAMIC, FILE + FIELD % "f:x", 200),
        (ONE, FIELD % "med" + FILE, 404),
        (ONE, FIELD % "legal" + FILE + FIELD % "med", 400),
        (ONE_DYNAMIC, FIELD % "folder:b", 404),
    ],
)
async def test_a_form_of_a_key_with_a_list_is_read_to_its_end(stack: Stack, key: str, parts: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "multipart/form-data; boundary=B"}
    answer = await stack.ask("POST", "/v1/audio/transcriptions", data=f"{parts}--B--\r\n".encode(), headers=headers)
    assert (answer.status, len(stack.upstream.seen)) == (status, int(status == 200))


@pytest.mark.parametrize(("model", "status"), [("legal", 200), ("med", 404), ("org/base", 404)])
async def test_a_key_for_an_adapter_opens_that_engine_only(stack: Stack, model: str, status: int) -> None:
    assert (await stack.post(f"/v1/engines/{model}/completions", {}, ONE)).status == status


async def test_an_adapter_that_is_taken_from_the_spec_is_gone_at_once(stack: Stack) -> None:
    service = llmservice("passing", adapters=["brief"], address=stack.upstream.address)
    await stack.put("llmservices", service)
    assert (await stack.post("/v1/completions", {"model": "brief"}, ALL)).status == 200
    await stack.put("llmservices", llmservice("passing", address=stack.upstream.address))
    assert (await stack.post("/v1/completions", {"model": "brief"}, ALL)).status == 404
