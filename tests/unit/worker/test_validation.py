"""From the client's request to the engine's: what the engine gets, and what never reaches it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest

from llmservice_worker.args import Task
from llmservice_worker.asgi import Receive, Scope, Send, reply_json
from llmservice_worker.errors import Refused
from llmservice_worker.front import Served, front
from llmservice_worker.requests.fields import Limits
from tests.unit.worker.asgi_apps import Answer, ask
from tests.unit.worker.pictures import data_url

JSON = (b"content-type", b"application/json")
USER = {"role": "user", "content": "Hi"}
CHAT = {"model": "org/model", "messages": [USER]}


@dataclass
class Engine:
    """Keeps what it was asked."""

    asked: list[tuple[str, bytes, dict[bytes, bytes]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append((scope["path"], (await receive())["body"], dict(scope["headers"])))
        await reply_json(send, 200, b'{"ok":true}')

    @property
    def body(self) -> dict[str, Any]:
        ((_, raw, _),) = self.asked
        found: dict[str, Any] = json.loads(raw)
        return found


def served(*tasks: Task, **more: Any) -> Served:
    return Served(("org/model", "alias"), tasks or ("generate",), Limits(100, 2048), 7, **more)


async def send(
    engine: Engine,
    body: Any,
    path: str = "/v1/chat/completions",
    model: Served | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(front(engine, model or served(), clock=lambda: 0.0), path, body=raw, headers=[JSON, *pairs])


async def test_the_engine_gets_the_listed_fields_and_no_others() -> None:
    engine = Engine()
    kept = {"temperature": 0.5, "top_k": 5, "stop": ["a"], "stream": True, "stream_options": {"include_usage": True}}
    dropped = {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "max_tokens": None}
    assert (await send(engine, {**CHAT, **kept, **dropped})).status == 200
    assert engine.body == {**CHAT, **kept}
    ((path, raw, headers),) = engine.asked
    assert path == "/v1/chat/completions"
    assert headers == {b"content-type": b"application/json", b"content-length": str(len(raw)).encode()}


async def test_a_legacy_engine_is_the_model() -> None:
    engine = Engine()
    await send(engine, {"prompt": "Hi"}, "/v1/engines/org/model/completions")
    assert (engine.asked[0][0], engine.body) == ("/v1/completions", {"prompt": "Hi", "model": "org/model"})


async def test_nulls_of_messages_are_left_out_and_those_of_tool_inputs_kept() -> None:
    engine = Engine()
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assistant = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [{**call, "index": None}]}
    await send(engine, {**CHAT, "messages": [assistant, {"role": "tool", "tool_call_id": "c", "content": "1"}]})
    assert engine.body["messages"][0] == {"role": "assistant", "tool_calls": [call]}
    engine = Engine()
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": None}}
    await send(engine, {**CHAT, "max_tokens": 1, "messages": [{"role": "assistant", "content": [use]}]}, "/v1/messages")
    assert engine.body["messages"][0]["content"] == [use]


async def test_each_key_has_its_own_cache_of_prompts() -> None:
    salts = []
    for key, given in (("one", "x"), ("two", "x"), ("", "one:x")):
        engine = Engine()
        await send(engine, {**CHAT, "cache_salt": given}, headers={"x-llmservice-key-id": key} if key else {})
        salts.append(engine.body["cache_salt"])
    assert salts == ["one:x", "two:x", ":one:x"], "nobody without a key writes another's salt"
    engine = Engine()
    await send(engine, CHAT)
    assert "cache_salt" not in engine.body


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/tokenize"])
@pytest.mark.parametrize("name", ["../../x", "a\r\nX:y", "x" * 10_240, "MODEL", "org"])
async def test_an_unknown_model_is_not_found(path: str, name: str) -> None:
    engine = Engine()
    answer = await send(engine, {**CHAT, "model": name}, path)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert len(answer.body) < 1000
    assert engine.asked == []


async def test_an_adapter_is_asked_for_by_its_name() -> None:
    async def ensure(name: str) -> None:
        if name != "org/model:new":
            raise Refused(503, "being loaded")

    model = served(adapter_names=lambda: {"legal": "org/model"}, ensure=ensure)
    engine = Engine()
    assert (await send(engine, {**CHAT, "model": "org/model:new"}, model=model)).status == 200
    assert (await send(engine, {**CHAT, "model": "other"}, model=model)).status == 503
    assert len(engine.asked) == 1


BAD = [
    (b"", {}, 400),
    (b"[" * 100_000, {}, 400),
    (b'{"model":"org/model","model":"org/model","messages":[{"role":"user","content":"Hi"}]}', {}, 400),
    (b'{"model":"org/model","messages":[{"role":"user","content":"\\ud800"}]}', {}, 400),
    (b'{"model":"org/model","messages":[{"role":"user","content":"\xff"}]}', {}, 400),
    (b'{"model":"org/model","messages":[{"role":"user","content":"Hi"}],"temperature":NaN}', {}, 400),
    ({**CHAT, "n": 0}, {}, 400),
    ({**CHAT, "frobnicate": 1}, {}, 400),
    ({"messages": [USER]}, {}, 400),
    ({**CHAT, "model": 3}, {}, 400),
    (CHAT, {"content-encoding": "gzip"}, 415),
    (CHAT, {"content-length": str(2**40)}, 413),
    (CHAT, {"idempotency-key": "x" * 300}, 400),
    (b" " * (8 * 1024 * 1024 + 1), {}, 413),
]


@pytest.mark.parametrize(("body", "headers", "status"), BAD)
async def test_a_bad_request_never_reaches_the_engine(body: Any, headers: dict[str, str], status: int) -> None:
    engine = Engine()
    answer = await send(engine, body, headers=headers)
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"
    assert engine.asked == []


async def test_urls_do_not_go_in() -> None:
    for url in ("http://10.0.0.1/a.png", "file:///etc/passwd"):
        engine = Engine()
        part = {"type": "image_url", "image_url": {"url": url}}
        answer = await send(engine, {**CHAT, "messages": [{"role": "user", "content": [part]}]})
        assert answer.status == 400
        assert engine.asked == []


async def test_an_image_in_the_request_passes() -> None:
    engine = Engine()
    url = data_url(8, 8)
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    await send(engine, {**CHAT, "messages": [{"role": "user", "content": content}]})
    assert engine.body["messages"][0]["content"] == content


async def test_a_reused_idempotency_key_conflicts() -> None:
    engine = Engine()
    app = front(engine, served(), clock=lambda: 0.0)
    headers = [JSON, (b"idempotency-key", b"k")]
    statuses = [(await ask(app, body=json.dumps({**CHAT, "n": n}).encode(), headers=headers)).status for n in (1, 1, 2)]
    assert statuses == [200, 200, 409]
    assert len(engine.asked) == 2


async def test_many_schemas_of_one_key_are_too_many_and_another_is_unaffected() -> None:
    engine = Engine()
    app = front(engine, served(), clock=lambda: 0.0)

    async def status(number: int, key: bytes) -> int:
        body = {**CHAT, "structured_outputs": {"json": {"const": number}}}
        headers = [JSON, (b"x-llmservice-key-id", key)]
        return (await ask(app, body=json.dumps(body).encode(), headers=headers)).status

    statuses = [await status(number, b"one") for number in range(1000)]
    assert (statuses.count(200), statuses.count(429)) == (60, 940)
    assert await status(0, b"two") == 200


def form(**values: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in values.items()]
    file = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
    return ("".join(parts) + file + "--b--\r\n").encode()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "org/model", "language": "en", "temperature": "0.5"}, 200),
        ({"model": "other"}, 404),
        ({"model": "org/model", "vllm_xargs": "{}"}, 400),
        ({"model": "org/model", "temperature": "9"}, 400),
        ({}, 400),
    ],
)
async def test_a_transcription_form_is_judged_and_passed_on_as_it_is(fields: dict[str, str], status: int) -> None:
    engine = Engine()
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    app = front(engine, served("transcribe"))
    answer = await ask(app, "/v1/audio/transcriptions", body=form(**fields), headers=headers)
    assert answer.status == status
    assert [raw for _, raw, _ in engine.asked] == ([form(**fields)] if status == 200 else [])


async def test_output_that_looks_like_an_end_stays_one_event() -> None:
    text = json.dumps({"choices": [{"delta": {"content": "a\n\ndata: [DONE]\n\n"}}]})

    async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
        events = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": events})
        await send({"type": "http.response.body", "body": f"data: {text}\n\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    answer = await ask(front(engine, served()), body=json.dumps(CHAT).encode(), headers=[JSON])
    first, end, rest = answer.body.split(b"\n\n")
    assert json.loads(first.removeprefix(b"data: ")) == json.loads(text)
    assert (end, rest) == (b"data: [DONE]", b"")
