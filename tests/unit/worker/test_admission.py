"""How many requests a replica takes at once."""

import asyncio
import json
from typing import Any

import pytest

from llmservice_worker.admission import Admission
from llmservice_worker.asgi import Message, Receive, Scope, Send, reply_json

HTTP: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}


class Engine:
    """Answers once it may; counts those it works on."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.under_way = 0

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        self.under_way += 1
        await self.may_answer.wait()
        await reply_json(send, 200, b"{}")


async def unread() -> Message:
    raise AssertionError("the body of a refused request is not read")


async def asked(app: Admission) -> int:
    """The status of one request."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(dict(HTTP), unread, send)
    if sent[0]["status"] == 503:
        assert json.loads(sent[1]["body"])["error"]["code"] == "overloaded"
    return int(sent[0]["status"])


@pytest.mark.parametrize(("most", "together", "admitted"), [(12, 8, 8), (12, 12, 12), (12, 40, 12), (1, 3, 1)])
async def test_of_those_that_come_together_as_many_are_taken_as_there_are_places(
    most: int, together: int, admitted: int
) -> None:
    engine = Engine()
    app = Admission(engine, lambda: most)
    asking = [asyncio.create_task(asked(app)) for _ in range(together)]
    await asyncio.sleep(0)
    assert engine.under_way == admitted
    engine.may_answer.set()
    statuses = await asyncio.gather(*asking)
    assert (statuses.count(200), statuses.count(503)) == (admitted, together - admitted)


async def test_those_refused_together_do_not_all_come_back_together() -> None:
    app = Admission(Engine(), lambda: 0)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    for _ in range(200):
        await app(dict(HTTP), unread, send)
    waits = {dict(message["headers"])[b"retry-after"] for message in sent if "headers" in message}
    assert waits == {b"1", b"2", b"3"}


async def test_a_place_is_free_again_after_an_answer_a_failure_and_a_client_that_left() -> None:
    engine = Engine()
    app = Admission(engine, lambda: 1)
    leaving = asyncio.create_task(asked(app))
    await asyncio.sleep(0)
    assert await asked(app) == 503
    leaving.cancel()
    await asyncio.wait([leaving])

    async def fails(_: Scope, __: Receive, ___: Send) -> None:
        raise OSError

    broken = Admission(fails, lambda: 1)
    for _ in range(2):
        with pytest.raises(OSError):
            await asked(broken)
    engine.may_answer.set()
    assert [await asked(app) for _ in range(2)] == [200, 200]


async def test_a_bound_that_changes_holds_for_the_next_request() -> None:
    most, engine = [0], Engine()
    engine.may_answer.set()
    app = Admission(engine, lambda: most[0])
    assert await asked(app) == 503
    most[0] = 1
    assert await asked(app) == 200
