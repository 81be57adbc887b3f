"""Requests for models that are cold: held within bounds, answered in order once the model is up, lost never."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import anthropic
import openai
import pytest
import pytest_asyncio
from aiohttp import web

from llmservice_gateway.endpoints import SILENT
from tests.integration.gateway_stack import Stack, completion, event, running
from tests.integration.holding import CHAT, HI, KEY, LIST, Asking, cold, held, numbers, one_after_the_other, told, up
from tests.unit.gateway.builders import PEPPER, apikey

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running(waiting_interval=1, max_connections=2000) as stack:
        await stack.put("apikeys", apikey(1), apikey(2, models=["m"]))
        yield stack


@pytest.fixture
def asking(stack: Stack) -> Asking:
    return Asking(stack)


async def test_fifty_wait_and_are_answered_in_order_once_the_model_appears(stack: Stack, asking: Asking) -> None:
    await stack.put("llmservices", cold())
    await one_after_the_other(asking, 50)
    await told(stack, 50)
    assert {route for route, _ in stack.wakes.seen} == {"team-a/m"}
    assert numbers(stack) == sorted(numbers(stack))
    assert stack.upstream.seen == []
    await stack.put("llmservices", up(stack))
    assert await asking.statuses() == [200] * 50
    assert asking.order == list(range(50))
    await held(stack, 0)
    assert stack.figure("llmservice_gateway_held_total", outcome="answered") == 50
    assert stack.figure("llmservice_gateway_slow_path_total", why="cold") == 50


async def test_more_than_the_bound_get_a_503_at_once(stack: Stack, asking: Asking) -> None:
    await stack.put("llmservices", cold(hold=(3, 60)))
    asking.ask(3)
    await held(stack, 3)
    for path, key in ((CHAT, KEY), ("/team-a/m/v1/completions", LIST)):
        answer = await stack.post(path, {"model": "m"}, key)
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) > 0
    assert stack.figure("llmservice_gateway_held_total", outcome="full") == 2
    await stack.put("llmservices", up(stack))
    assert await asking.statuses() == [200] * 3


async def test_who_may_not_wait_is_told_so_at_once(stack: Stack) -> None:
    await stack.put("llmservices", cold(hold=(0, 60)))
    answer = await stack.post(CHAT, {"model": "m"}, KEY)
    assert (answer.status, answer.error["code"]) == (503, "model_not_ready")
    answer = await stack.post(CHAT, {"model": "m", "pad": "x" * 100_000}, KEY)
    assert (answer.status, answer.error["code"]) == (503, "model_not_ready")
    await stack.put("llmservices", up(stack, hold=(0, 60), replicas=0))
    for pad in ("", "x" * 100_000):
        assert (await stack.post(CHAT, {"model": "m", "pad": pad}, KEY)).status == 200
    await stack.put("llmservices", up(stack, hold=(0, 60), replicas=0, address="127.0.0.1:9"))
    for pad in ("", "x" * 100_000):
        answer = await stack.post(CHAT, {"model": "m", "pad": pad}, KEY)
        assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
    assert stack.wakes.seen == []


async def test_who_waited_long_enough_gets_a_503_in_the_shape_of_its_api(stack: Stack) -> None:
    await stack.put("llmservices", cold(hold=(5, 1)))
    answer = await stack.post(CHAT, {"model": "m"}, KEY)
    assert (answer.status, answer.error["code"]) == (503, "model_not_ready")
    assert int(answer.headers["Retry-After"]) > 0
    async with anthropic.AsyncAnthropic(base_url=stack.url, api_key=KEY, max_retries=0) as client:
        with pytest.raises(anthropic.InternalServerError) as refused:
            await client.messages.create(model="m", max_tokens=1, messages=HI)
    assert refused.value.status_code == 503
    assert refused.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]
    assert stack.figure("llmservice_gateway_held_total", outcome="expired") == 2


async def raw_stream(stack: Stack, path: str) -> tuple[int, bytes]:
    body = {"model": "m", "messages": HI, "max_tokens": 1, "stream": True}
    answer = await stack.post(path, body, KEY)
    return answer.status, answer.body


async def test_a_stream_is_told_that_it_waits_and_then_that_it_failed(stack: Stack) -> None:
    await stack.put("llmservices", cold(hold=(5, 3)))
    (status, openais), (_, anthropics) = await asyncio.gather(
        raw_stream(stack, CHAT), raw_stream(stack, "/v1/messages")
    )
    assert status == 200
    *comments, error, end = openais.split(b"\n\n")
    assert (len(comments) >= 2, set(comments), end) == (True, {b": waiting"}, b"")
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "model_not_ready"
    *comments, error, end = anthropics.split(b"\n\n")
    assert (set(comments), end) == ({b": waiting"}, b"")
    kind, data = error.split(b"\n")
    assert kind == b"event: error"
    assert json.loads(data.removeprefix(b"data: "))["error"]["type"] == "overloaded_error"


async def test_what_never_streams_is_told_nothing_before_its_answer(stack: Stack) -> None:
    await stack.put("llmservices", cold(hold=(20, 2)))
    paths = ["/v2/rerank", *(f"/v1/{api}" for api in SILENT)]
    answers = await asyncio.gather(*(raw_stream(stack, path) for path in paths))
    assert {path: status for path, (status, _) in zip(paths, answers, strict=True)} == dict.fromkeys(paths, 503)


async def test_clients_read_a_stream_that_began_with_waiting(stack: Stack) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("Par") + event("is") + b"data: [DONE]\n\n")
        return response

    stack.upstream.handler = stream
    await stack.put("llmservices", cold())

    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0) as client:
            chunks = await client.chat.completions.create(model="m", messages=HI, stream=True)
            began.set()  # the status is there: with the first comment
            return [chunk.choices[0].delta.content async for chunk in chunks]

    began = asyncio.Event()
    task = asyncio.create_task(ask())
    async with asyncio.timeout(10):
        await began.wait()
    await stack.put("llmservices", up(stack))
    assert await task == ["Par", "is"]


async def test_an_error_after_waiting_is_an_event_as_well(stack: Stack) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        error = {"message": "no", "type": "invalid_request_error", "param": "n", "code": None}
        return web.json_response({"error": error}, status=400)

    stack.upstream.handler = refuse
    await stack.put("llmservices", cold())
    began = asyncio.Event()

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEY, max_retries=0) as client:
            chunks = await client.chat.completions.create(model="m", messages=HI, stream=True)
            began.set()
            async for _ in chunks:
                pass

    task = asyncio.create_task(ask())
    async with asyncio.timeout(10):
        await began.wait()
    await stack.put("llmservices", up(stack))
    with pytest.raises(openai.APIError, match="no") as refused:
        await task
    assert refused.value.param == "n"


async def test_of_a_service_without_replicas_one_request_tries_and_its_answer_lets_all_go(
    stack: Stack, asking: Asking
) -> None:
    """As the head's proxy does it: it takes a request, and answers once a replica is there."""
    answers, come = asyncio.Event(), asyncio.Event()

    async def head(request: web.Request) -> web.StreamResponse:
        stack.upstream.seen.append((request.path_qs, request.headers.copy(), await request.read()))
        come.set()
        await answers.wait()
        return web.json_response(completion())

    stack.upstream.handler = head
    await stack.put("llmservices", up(stack, replicas=0))
    await one_after_the_other(asking, 5)
    async with asyncio.timeout(5):
        await come.wait()
    assert asking.order == [0]
    answers.set()
    assert await asking.statuses() == [200] * 5
    assert asking.order == list(range(5))
    assert stack.figure("llmservice_gateway_held_total", outcome="answered") == 5
    asking.ask(1)  # it has answered, so nobody waits any more
    assert (await asking.statuses())[5] == 200
    assert stack.figure("llmservice_gateway_held_total", outcome="answered") == 5


async def test_who_tries_at_the_head_holds_up_nobody_once_a_replica_is_up(stack: Stack, asking: Asking) -> None:
    never = asyncio.Event()

    async def head(request: web.Request) -> web.StreamResponse:
        stack.upstream.seen.append((request.path_qs, request.headers.copy(), await request.read()))
        if len(stack.upstream.seen) == 1:
            await never.wait()
        return web.json_response(completion())

    stack.upstream.handler = head
    await stack.put("llmservices", up(stack, replicas=0, hold=(10, 2)))
    await one_after_the_other(asking, 4)
    await stack.put("llmservices", up(stack, hold=(10, 2)))
    await asyncio.wait(asking.tasks[1:])
    assert asking.order == [0, 1, 2, 3]
    await asyncio.sleep(2.5)  # longer than it may be held: it is not held any more, the model works on it
    assert not asking.tasks[0].done()
    never.set()
    assert await asking.statuses() == [200] * 4


NOT_UP: dict[str, Callable[[], web.Response]] = {
    "Ray's HAProxy has nobody": lambda: web.Response(status=500, body="x", headers={"Content-Type": "text/plain"}),
    "Ray's proxy has no application": lambda: web.Response(status=404, text="no route"),
    "Ray's queue": lambda: web.Response(status=503, text="dropped"),
    "the engine is away": lambda: web.json_response({"error": {}}, status=502),
}


@pytest.mark.parametrize("name", NOT_UP)
async def test_what_stands_in_front_of_no_engine_is_tried_again(stack: Stack, asking: Asking, name: str) -> None:
    tries = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        return NOT_UP[name]() if tries <= 2 else web.json_response(completion())

    stack.upstream.handler = answer
    await stack.put("llmservices", up(stack, replicas=0))
    asking.ask(1)
    assert await asking.statuses() == [200]
    assert tries == 3


async def test_a_model_that_is_killed_comes_back_to_those_who_wait(stack: Stack, asking: Asking) -> None:
    tried = asyncio.Semaphore(0)

    def dies(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        tried.release()

    async with await asyncio.start_server(dies, "127.0.0.1", 0) as dead:
        address = f"127.0.0.1:{dead.sockets[0].getsockname()[1]}"
        await stack.put("llmservices", up(stack, replicas=0, address=address))
        await one_after_the_other(asking, 5)
        await stack.put("llmservices", up(stack, address=address))  # status says so, and is wrong
        async with asyncio.timeout(30):
            for _ in range(3):  # they try, and go on waiting
                await tried.acquire()
        assert stack.figure("llmservice_gateway_held_requests") == 5
    await stack.put("llmservices", up(stack))
    assert await asking.statuses() == [200] * 5
    assert asking.order == list(range(5))


async def test_a_model_that_dies_while_it_answers_those_who_waited_loses_none(stack: Stack, asking: Asking) -> None:
    tries = 0

    async def dies(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        if tries <= 5:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(completion())

    stack.upstream.handler = dies
    await stack.put("llmservices", cold())
    await one_after_the_other(asking, 5)
    await stack.put("llmservices", up(stack))
    assert await asking.statuses() == [200] * 5


async def test_only_those_that_sleep_are_woken(stack: Stack, asking: Asking) -> None:
    await stack.put("llmservices", cold(sleeps=False))
    asking.ask(1)
    await held(stack, 1)
    await stack.put("llmservices", up(stack))
    assert await asking.statuses() == [200]
    assert stack.wakes.seen == []


async def test_two_gateways_hold_for_themselves_and_answer_all(stack: Stack) -> None:
    async with running(name="other") as other:
        other.upstream.handler = stack.upstream.answer
        both = Asking(stack), Asking(other)
        await other.put("apikeys", apikey(1))
        for gateway in (stack, other):
            await gateway.put("llmservices", cold(hold=(5, 60)))
        both[0].ask(5)
        await told(stack, 5)
        said = stack.wakes.seen[-1][1]
        await other.put("llmservices", cold(hold=(5, 60), woken=said["wakeRequestedAt"], wakes=said["wakes"]))
        both[1].ask(5)
        await told(other, 5)
        assert all(set(status["wakes"]) == {"other"} for _, status in other.wakes.seen)
        for gateway in (stack, other):
            await gateway.put("llmservices", up(stack))
        assert [await each.statuses() for each in both] == [[200] * 5] * 2
        assert len(stack.upstream.seen) == 10


async def test_large_bodies_and_forms_are_held_too(stack: Stack, asking: Asking) -> None:
    await stack.put("llmservices", cold())
    asking.ask(1, pad="x" * 900_000)
    form = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--B--\r\n'
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=B"}
    audio = asyncio.create_task(stack.ask("POST", "/v1/audio/transcriptions", data=form, headers=headers))
    await held(stack, 2)
    await stack.put("llmservices", up(stack))
    assert (await asking.statuses(), (await audio).status) == ([200], 200)
    assert sorted(len(body) for _, _, body in stack.upstream.seen) == [len(form), 900_087]


async def test_the_probe_learns_whom_it_asked_of_a_service_that_slept(stack: Stack) -> None:
    await stack.put("llmservices", up(stack, replicas=0))
    answer = await stack.post("/team-a/m/v1/completions", {"model": "m"}, PEPPER.probe_key())
    assert (answer.status, answer.headers["x-llmservice-address"]) == (200, stack.upstream.address)
