import asyncio
import gc

import pytest

from llmservice_worker.asgi import Message, Receive, Scope, Send, reply_json
from llmservice_worker.leaving import TellsLeaving
from tests.unit.worker.asgi_apps import ask, raises, replies

HTTP = {"type": "http"}


class Client:
    """Sends its request, stays, and keeps what it gets."""

    def __init__(self, leaves: bool = False) -> None:
        self.got: list[Message] = []
        self._messages: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": False}]
        self._leaves = leaves

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop()
        if not self._leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)


class Engine:
    """As vLLM's handlers: works in a task of its own, which only `http.disconnect` ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.aborted = False

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        work = asyncio.create_task(self._work())
        listening = asyncio.ensure_future(receive())
        await asyncio.wait([work, listening], return_when=asyncio.FIRST_COMPLETED)
        assert listening.result() == {"type": "http.disconnect"}
        work.cancel()
        await asyncio.wait([work])
        await reply_json(send, 200, b"null")

    async def _work(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.aborted = True
            raise


async def test_cancelled_it_tells_the_app_which_stops_its_work_and_says_nothing_more() -> None:
    engine, client = Engine(), Client()
    serving = asyncio.create_task(TellsLeaving(engine)(HTTP, client.receive, client.send))
    await engine.begun.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert engine.aborted
    assert client.got == []


async def test_a_disconnect_is_heard_as_it_is() -> None:
    engine, client = Engine(), Client(leaves=True)
    await TellsLeaving(engine)(HTTP, client.receive, client.send)
    assert engine.aborted
    assert [message["type"] for message in client.got] == ["http.response.start", "http.response.body"]


async def test_an_app_that_does_not_listen_is_cancelled() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def deaf(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = Client()
    serving = asyncio.create_task(TellsLeaving(deaf, patience_s=0)(HTTP, client.receive, client.send))
    await begun.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert ended.is_set()


async def test_cancelled_again_while_it_waits_it_ends_the_app_whose_failure_nobody_misses() -> None:
    begun, told, ended, missed = asyncio.Event(), asyncio.Event(), asyncio.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: missed.append(context))

    async def deaf(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        begun.set()
        await receive()
        told.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
            raise RuntimeError("as it ends")

    client = Client()
    serving = asyncio.create_task(TellsLeaving(deaf, patience_s=60)(HTTP, client.receive, client.send))
    await begun.wait()
    serving.cancel()
    await told.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 5)
    assert ended.is_set()
    gc.collect()
    assert missed == []


async def test_answers_and_failures_pass_unchanged() -> None:
    answer = await ask(TellsLeaving(replies(404, b"a", b"b")))
    assert (answer.status, answer.body, answer.ended) == (404, b"ab", True)
    with pytest.raises(RuntimeError, match="as it was"):
        await ask(TellsLeaving(raises(RuntimeError("as it was"))))


async def test_what_is_not_http_passes_through() -> None:
    assert (await ask(TellsLeaving(replies(200, b"up")), kind="lifespan")).body == b"up"
