"""Which requests make an event, and that all of a request's work counts into it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from llmservice_worker.access import AccessLog, note_model
from llmservice_worker.args import Origin
from llmservice_worker.asgi import App, Receive, Scope, Send
from llmservice_worker.inprocess import post
from llmservice_worker.usage.event import UsageEvent
from llmservice_worker.usage.metered import Metered, at_engine, current_tally, events
from tests.unit.worker.asgi_apps import ask, raises, replies
from tests.unit.worker.usage.outputs import output

ORIGIN = Origin(namespace="team-a", service="smol", revision="smol-abc123")
ANSWER = replies(200, b"{}")


def working(*tokens: int, then: App = ANSWER) -> App:
    """An engine's app that hands over so many tokens, and answers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tally = current_tally()
        if tally is not None:
            tally.begin().generated(output(*tokens))
        await then(scope, receive, send)

    return at_engine(app)


def validated(app: App, model: str = "smol") -> App:
    """What stands before the engine and finds a request good."""

    async def passing(scope: Scope, receive: Receive, send: Send) -> None:
        note_model(scope, model)
        await app(scope, receive, send)

    return passing


def metered(app: App) -> tuple[App, list[UsageEvent]]:
    """`app` as the replica wraps it, and the events that it makes."""
    made: list[UsageEvent] = []
    heard = events(ORIGIN, ("smol",), made.append, lambda: datetime(2026, 11, 23, tzinfo=UTC))
    numbers = iter(range(1000))
    return Metered(AccessLog(app, [heard], clock=lambda: 0.0), lambda: f"{next(numbers):032x}"), made


async def test_a_request_that_the_engine_answers_makes_an_event() -> None:
    app, made = metered(validated(working(5)))
    assert (await ask(app, headers=[(b"x-llmservice-key-id", b"k1"), (b"x-request-id", b"r1")])).status == 200
    (event,) = made
    assert (event.id, event.key_id, event.request_id, event.model) == ("0" * 32, "k1", "r1", "smol")
    assert (event.prompt_tokens, event.completion_tokens, event.outcome, event.status) == (3, 5, "completed", 200)


BY_KEY = {
    "without a key": ([], ""),
    "the operator, or whoever says that he is": ([b"probe"], "probe"),
    "an id that the ledger would refuse": ([b"a b"], ""),
    "an id that is too long for it": ([b"k" * 65], ""),
    "two ids": ([b"k1", b"k2"], "k1"),
}


@pytest.mark.parametrize(("sent", "billed"), BY_KEY.values(), ids=BY_KEY)
async def test_what_the_engine_computes_makes_an_event_whoever_asks(sent: list[bytes], billed: str) -> None:
    app, made = metered(validated(working(1)))
    await ask(app, headers=[(b"x-llmservice-key-id", each) for each in sent])
    assert [(event.key_id, event.completion_tokens) for event in made] == [(billed, 1)]


NO_EVENT: dict[str, App] = {
    "refused before the engine": replies(400, b"{}"),
    "refused though its model was found": validated(replies(429, b"{}")),
    "a list of models": replies(200, b"{}"),
}


@pytest.mark.parametrize("app", NO_EVENT.values(), ids=NO_EVENT)
async def test_what_never_came_to_the_engine_makes_no_event(app: App) -> None:
    app, made = metered(app)
    await ask(app)
    assert made == []


@pytest.mark.parametrize("status", [400, 502])
async def test_what_passed_validation_makes_an_event_though_the_engine_gave_nothing(status: int) -> None:
    app, made = metered(validated(at_engine(replies(status, b"{}"))))
    await ask(app)
    (event,) = made
    assert (event.prompt_tokens, event.completion_tokens, event.status) == (0, 0, status)


async def test_an_app_that_fails_is_told_of_too() -> None:
    app, made = metered(validated(working(2, then=raises(RuntimeError("the engine")))))
    with pytest.raises(RuntimeError):
        await ask(app)
    assert [(event.outcome, event.status, event.completion_tokens) for event in made] == [("error", None, 2)]


async def test_a_client_that_leaves_pays_what_was_handed_over() -> None:
    begun = asyncio.Event()

    async def never_ends(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    app, made = metered(validated(working(2, then=never_ends)))
    asking = asyncio.create_task(ask(app))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [(event.outcome, event.completion_tokens) for event in made] == [("client_left", 2)]


async def test_calls_within_a_request_count_into_it_once() -> None:
    inner = validated(working(4))

    async def task(_scope: Scope, _receive: Receive, send: Send) -> None:
        await post(inner, "/v1/chat/completions", {})
        await asyncio.create_task(_posted(inner))
        await ANSWER({}, _receive, send)

    app, made = metered(task)
    await ask(app, path="/v1/tasks/classify")
    (event,) = made
    assert (event.route, event.model) == ("tasks/classify", "smol")
    assert (event.prompt_tokens, event.completion_tokens) == (6, 8)


async def _posted(app: App) -> Any:
    return await post(app, "/v1/completions", {})


async def test_requests_at_the_same_time_are_told_apart() -> None:
    both = asyncio.Barrier(2)

    async def meet(scope: Scope, receive: Receive, send: Send) -> None:
        await both.wait()
        tally = current_tally()
        assert tally is not None
        tally.begin().generated(output(len(scope["path"])))
        await ANSWER(scope, receive, send)

    app, made = metered(validated(at_engine(meet)))
    await asyncio.gather(ask(app, path="/v1/completions"), ask(app, path="/v1/chat/completions"))
    assert {event.route: event.completion_tokens for event in made} == {"completions": 15, "chat/completions": 20}
    assert len({event.id for event in made}) == 2


async def test_outside_of_requests_nothing_is_counted() -> None:
    assert (await post(validated(working(3)), "/v1/completions", {}))[0] == 200
    assert current_tally() is None


def test_two_requests_never_have_one_id() -> None:
    async def ids() -> set[str]:
        found: set[str] = set()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            tally = current_tally()
            assert tally is not None
            found.add(tally.id)
            await ANSWER(_scope, _receive, send)

        for _ in range(100):
            await ask(Metered(app))
        return found

    found = asyncio.run(ids())
    assert len(found) == 100
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in found)


async def test_other_connections_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])
        assert current_tally() is None

    await ask(Metered(app), kind="lifespan")
    assert seen == ["lifespan"]
