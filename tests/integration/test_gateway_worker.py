"""Bad bodies through the real HAProxy to the replica's real front: what is refused, billed, and never split in two.

The engine behind it only keeps what it is asked: what it gets was let through by everybody.
"""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
import pytest_asyncio

from llmservice_worker.access import AccessLog
from llmservice_worker.args import Origin
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.body import JSON_BYTES, read
from llmservice_worker.front import Served, front
from llmservice_worker.requests.fields import Limits
from llmservice_worker.usage.event import UsageEvent
from llmservice_worker.usage.metered import Metered, at_engine, current_tally, events
from tests.chaos.worker import serving
from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, completion, event, free_ports, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key
from tests.unit.worker.usage.outputs import output

Json = dict[str, Any]

KEY, OTHER = secret_key(1), secret_key(2)
CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "Hi"}
LOOP = "{% for i in range(1000000000) %}x{% endfor %}"
LIKE_AN_END = 'a\n\ndata: [DONE]\n\ndata: {"error": {}}\r\n\r\nevent: error\n: b\u2028\x85"\\'
TOKENS = 5
OVER_THE_BUFFER = b" " * 100_000
INSIDE = (b"Traceback", b"site-packages", b"127.0.0.1", b"pydantic", b".py")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Engine:
    """Says LIKE_AN_END, and keeps what it was asked."""

    asked: list[Json] = field(default_factory=list)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one validated request."""
        body = json.loads(await read(receive, JSON_BYTES))
        self.asked.append(body)
        tally = current_tally()
        assert tally is not None
        tally.begin().generated(output(TOKENS))
        if not body.get("stream"):
            return await reply_json(send, 200, json.dumps(completion(LIKE_AN_END)).encode())
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": event(LIKE_AN_END), "more_body": True})
        return await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


@dataclass
class Site:
    """A gateway, and the replica behind it; `billed` are its usage events."""

    stack: Stack
    engine: Engine
    billed: list[UsageEvent]

    async def send(self, body: bytes, path: str = CHAT, key: str = KEY, **headers: str) -> tuple[int, bytes]:
        """Status and body of the answer to these bytes, which no client library has seen."""
        head = {"Host": "h", "Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers
        head |= {"Content-Length": str(len(body)), "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        answer = await self.stack.raw(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


def replica(engine: Engine, billed: list[UsageEvent]) -> App:
    """What a replica's process serves, put together as the product's is."""
    served = Served(("llama",), ("generate",), Limits(1000, 4096), created=1, media_hosts=("localhost",))
    origin = Origin(namespace="team-a", service="llama", revision="llama-0a1b2c")
    heard = events(origin, ("llama",), billed.append)
    return Metered(AccessLog(front(at_engine(engine), served), [heard], time.monotonic))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_site() -> AsyncIterator[Site]:
    engine, billed, port = Engine(), list[UsageEvent](), free_ports(1)[0]
    async with running() as stack, serving(replica(engine, billed), port):
        await stack.put("llmservices", llmservice("llama", address=f"127.0.0.1:{port}"))
        await stack.put("apikeys", apikey(1), apikey(2))
        yield Site(stack, engine, billed)


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.engine.asked.clear()
    running_site.billed.clear()
    return running_site


def chat(**more: Any) -> bytes:
    return json.dumps({"model": "llama", "messages": [USER], **more}).encode()


def said(content: bytes) -> bytes:
    return b'{"model": "llama", "messages": [{"role": "user", "content": "' + content + b'"}]}'


def image(url: str) -> bytes:
    return chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])


BAD = {
    "25 depth 100,000": b'{"model": "llama", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "26 model twice": b'{"model": "llama", "messages": [], "model": "llama"}',
    "28 half a pair": said(b"\\ud800"),
    "28 bad UTF-8": said(b"\xff"),
    "28 half a pair in bytes": said(b"\xed\xa0\x80"),
    **{f"30 n {n}": chat(n=n) for n in (0, -1, 10**9)},
    **{f"31 max_tokens {most!r}": chat(max_tokens=most) for most in (-1, 2**63, True, "10")},
    "33 temperature": chat(temperature=-1),
    **{f"33 {name}": chat(**{name: 1e9}) for name in ("frequency_penalty", "presence_penalty", "repetition_penalty")},
    "35 bad_words": chat(bad_words=[10**9]),
    "35 allowed_token_ids": chat(allowed_token_ids=[1000]),
    "35 logit_bias": chat(logit_bias={"1000": 1}),
    "36 regex": chat(structured_outputs={"regex": "(a+)+b"}),
    "36 regex in a schema": chat(structured_outputs={"json": {"type": "string", "pattern": "(a+)+b"}}),
    "40 chat_template": chat(chat_template=LOOP),
    "40 in chat_template_kwargs": chat(chat_template_kwargs={"chat_template": LOOP}),
    "40 null beside it": chat(chat_template=LOOP, chat_template_kwargs=None),
    "40 spelled with escapes": b'{"chat\\u005ftemplate": "' + LOOP.encode() + b'", ' + chat()[1:],
    "40 twice": b'{"chat_template_kwargs": {"chat_template": "' + LOOP.encode() + b'"}, "chat_template_kwargs": {}, '
    + chat()[1:],
    "41 prompt_embeds": chat(prompt_embeds="AAAA"),
    "43 inner address": image("http://169.254.169.254/latest/meta-data"),
    "43 host that is not allowed": image("http://kubernetes.default.svc/"),
    "43 allowed host that means an inner address": image("http://localhost/a.png"),
    "43 inner address as a number": image("http://2130706433/"),
    "43 file": image("file:///etc/passwd"),
    "45 a million messages": b'{"model": "llama", "messages": [' + b"{}," * 999_999 + b"{}]}",
    "45 no messages": chat(messages=[]),
    "45 role": chat(messages=[{"role": "root", "content": "Hi"}]),
    **{f"48 stream {stream!r}": chat(stream=stream) for stream in ("yes", "true", 1)},
    "48 include_usage": chat(stream=True, stream_options={"include_usage": "yes"}),
}  # fmt: skip


@pytest.mark.parametrize("end", [b"", OVER_THE_BUFFER], ids=["by HAProxy", "by the activator"])
@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
async def test_a_bad_body_is_refused_costs_no_engine_and_is_not_billed(site: Site, body: bytes, end: bytes) -> None:
    status, answer = await site.send(body + end)
    error = json.loads(answer)["error"]
    assert (status, set(error)) == (400, {"message", "type", "param", "code"})
    assert not [word for word in INSIDE if word in answer]
    assert len(answer) < 2000
    assert (site.engine.asked, site.billed) == ([], [])


async def test_38_many_schemas_of_one_key_are_too_many_and_another_is_unaffected(site: Site) -> None:
    async def status(number: int, key: str = KEY) -> int:
        return (await site.send(chat(structured_outputs={"json": {"const": number}}), key=key))[0]

    statuses = [await status(number) for number in range(1, 70)]
    assert set(statuses) == {200, 429}
    assert statuses == sorted(statuses)
    assert [await status(number, OTHER) for number in (69, 70)] == [200, 200]


@pytest.mark.parametrize("ids", [[-1], [1000], [[0, 10**9]]])
async def test_41_token_ids_out_of_the_vocabulary_are_refused(site: Site, ids: list[Any]) -> None:
    status, answer = await site.send(json.dumps({"model": "llama", "prompt": ids}).encode(), "/v1/completions")
    assert (status, json.loads(answer)["error"]["param"].partition(".")[0]) == (400, "prompt")
    assert site.engine.asked == []


LEAST: dict[str, Json] = {
    "chat/completions": {"messages": [USER]},
    "completions": {"prompt": "Hi"},
    "responses": {"input": "Hi"},
    "messages": {"messages": [USER], "max_tokens": 1},
    "messages/count_tokens": {"messages": [USER]},
    "tokenize": {"messages": [USER]},
}


@pytest.mark.parametrize("api", LEAST)
async def test_40_no_api_takes_a_template(site: Site, api: str) -> None:
    for more in ({"chat_template": LOOP}, {"chat_template_kwargs": {"chat_template": LOOP}}):
        status, answer = await site.send(json.dumps({"model": "llama"} | LEAST[api] | more).encode(), f"/v1/{api}")
        assert (status, b"chat_template" in answer) == (400, True)
    assert site.engine.asked == []


@pytest.mark.parametrize("end", [b"", OVER_THE_BUFFER], ids=["by HAProxy", "by the activator"])
async def test_48_a_stream_is_billed_though_its_client_did_not_ask_for_usage(site: Site, end: bytes) -> None:
    for options in ({}, {"stream_options": {"include_usage": False}}, {"stream_options": None}):
        site.billed.clear()
        status, answer = await site.send(chat(stream=True, **options) + end)
        assert (status, b'"usage"' in answer) == (200, False)
        await eventually(lambda: len(site.billed) == 1)
        told = site.billed[0]
        assert (told.key_id, told.stream, told.completion_tokens) == (f"{1:016x}", True, TOKENS)


@pytest.mark.parametrize("pad", [0, len(OVER_THE_BUFFER)], ids=["by HAProxy", "by the activator"])
async def test_51_output_that_looks_like_an_end_is_one_event(site: Site, pad: int) -> None:
    messages: Any = [{"role": "user", "content": "x" * pad}]
    async with openai.AsyncOpenAI(base_url=f"{site.stack.url}/v1", api_key=KEY, max_retries=0) as client:
        whole = await client.chat.completions.create(model="llama", messages=messages)
        chunks = await client.chat.completions.create(model="llama", messages=messages, stream=True)
        texts = [chunk.choices[0].delta.content async for chunk in chunks]
    assert (whole.choices[0].message.content, texts) == (LIKE_AN_END, [LIKE_AN_END])


async def test_53_an_idempotency_key_stands_for_one_body(site: Site) -> None:
    statuses = [(await site.send(chat(seed=n), **{"Idempotency-Key": "one"}))[0] for n in (1, 1, 2)]
    assert statuses == [200, 200, 409]
    assert (await site.send(chat(seed=2), key=OTHER, **{"Idempotency-Key": "one"}))[0] == 200


async def test_55_each_key_has_a_cache_of_its_own_whatever_it_says(site: Site) -> None:
    for key in (KEY, OTHER):
        headers = {"X-LLMService-Key-Id": f"{1:016x}"}
        assert (await site.send(chat(cache_salt="same"), key=key, **headers))[0] == 200
    assert [each["cache_salt"] for each in site.engine.asked] == [f"{1:016x}:same", f"{2:016x}:same"]


async def test_a_good_request_beside_them_is_answered(site: Site) -> None:
    status, answer = await site.send(chat())
    assert (status, json.loads(answer)) == (200, completion(LIKE_AN_END))
    assert len(site.engine.asked) == 1
