import asyncio
import json
from typing import Any

import pytest

from llmservice_worker.access import Access, AccessLog
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.body import JSON_BYTES
from llmservice_worker.shaping import ErrorShaping
from llmservice_worker.tasks.app import TaskApp
from tests.unit.worker.asgi_apps import Answer, replies
from tests.unit.worker.tasks.engine_app import Engine, ask, streams


def tasks(engine: App, **templates: str) -> TaskApp:
    return TaskApp(engine, "org/model", templates)


def events(answer: Answer) -> list[Any]:
    """The data of a stream's events; the last one is [DONE]."""
    *data, end, rest = answer.body.decode().split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in data]


async def test_a_task_is_one_chat_request_and_a_typed_answer() -> None:
    engine = Engine(says=" Rain. ")
    answer = await ask(tasks(engine), "summarize", {"text": "It rained.", "words": 3, "max_tokens": 9, "seed": 1})
    assert engine.chats() == [
        {
            "model": "org/model",
            "messages": [{"role": "user", "content": "Summarize this text.\nUse about 3 words.\n\nIt rained."}],
            "max_tokens": 9,
            "temperature": 0.0,
            "seed": 1,
        }
    ]
    assert (answer.status, json.loads(answer.body)) == (
        200,
        {
            "object": "task.summary",
            "model": "org/model",
            "output": "Rain.",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        },
    )


async def test_code_comes_out_of_its_block() -> None:
    engine = Engine(says="Sure:\n```python\nx = 1\n```\nDone.")
    answer = await ask(tasks(engine), "code", {"instruction": "Set x."})
    assert json.loads(answer.body)["output"] == {"language": "python", "code": "x = 1"}


async def test_a_model_that_is_named_is_the_one_asked() -> None:
    engine = Engine()
    answer = await ask(tasks(engine), "answer", {"question": "Who?", "model": "org/model:lora", "temperature": 0.5})
    assert [(body["model"], body["temperature"]) for body in engine.chats()] == [("org/model:lora", 0.5)]
    assert json.loads(answer.body)["model"] == "org/model:lora"


async def test_the_engine_sees_who_asks_and_none_of_the_bodys_headers() -> None:
    engine = Engine()
    await ask(tasks(engine), "classify", {"text": "x", "labels": ["a", "b"]})
    assert len(engine.headers) == 5
    for headers, (_, body) in zip(engine.headers, engine.asked, strict=True):
        assert (headers[b"x-request-id"], headers[b"traceparent"]) == (b"r7", b"t7")
        assert headers[b"content-length"] == str(len(json.dumps(body, separators=(",", ":")))).encode()


async def test_an_idempotency_key_stands_for_the_request_that_does_the_work() -> None:
    engine = Engine()
    await ask(tasks(engine), "classify", {"text": "x", "labels": ["a", "b"]})
    await ask(tasks(engine), "answer", {"question": "x"})
    keys = {
        path: headers.get(b"idempotency-key") for headers, (path, _) in zip(engine.headers, engine.asked, strict=True)
    }
    assert keys == {"/tokenize": None, "/v1/completions": b"i7", "/v1/chat/completions": b"i7"}


def says_glad(token: str, prompt: str) -> float:
    """Likes `g` after the prompt whose text is glad, a little; and `s` always, more."""
    begun = prompt.endswith('"')
    return -1.0 if not begun else -0.5 if token == "s" else -1.0 if token == "g" and "hurray" in prompt else -4.0


async def test_the_label_is_the_one_that_the_text_made_likelier() -> None:
    engine = Engine(likes=says_glad)
    answer = await ask(tasks(engine), "classify", {"text": "hurray", "labels": ["sad", "gay", "gray"]})
    found = json.loads(answer.body)
    assert (answer.status, found["object"], found["model"]) == (200, "task.classification", "org/model")
    assert [entry["label"] for entry in found["probabilities"]] == ["gay", "gray", "sad"]
    gay, gray, sad = (entry["probability"] for entry in found["probabilities"])
    assert gay == gray > sad
    assert gay + gray + sad == pytest.approx(1, abs=1e-12)
    assert found["label"] == "gay"


async def test_all_labels_are_scored_in_one_engine_call() -> None:
    engine = Engine()
    answer = await ask(tasks(engine), "classify", {"text": "x", "labels": [f"label {n}" for n in range(64)]})
    calls = [body for path, body in engine.asked if path == "/v1/completions"]
    assert len(calls) == 1
    assert len(calls[0]["prompt"]) == 128
    assert "".join(map(chr, calls[0]["prompt"][63])).endswith('<assistant>The category of this text is "label 63"')
    usage = json.loads(answer.body)["usage"]
    assert usage == {
        "prompt_tokens": sum(map(len, calls[0]["prompt"])),
        "completion_tokens": 0,
        "total_tokens": usage["prompt_tokens"],
    }


async def test_a_template_is_replaced_from_the_next_request_on() -> None:
    engine = Engine()
    app = tasks(engine, translate="To {target}: {text}")
    body = {"text": "Hi", "target": "Dutch"}
    await ask(app, "translate", body)
    app.replace_templates({"translate": "{text} ({target})"})
    await ask(app, "translate", body)
    app.replace_templates({})
    await ask(app, "translate", body)
    prompts = [chat["messages"][0]["content"] for chat in engine.chats()]
    assert prompts[:2] == ["To Dutch: Hi", "Hi (Dutch)"]
    assert prompts[2].startswith("Translate this text into Dutch.")


async def test_a_template_that_cannot_be_used_is_told_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()
    await ask(tasks(engine, answer="{text}", code="Do: {instruction}", paint="{x}"), "answer", {"question": "Who?"})
    assert engine.chats()[0]["messages"][0]["content"] == "Who?"
    assert [record.getMessage() for record in caplog.records] == [
        "a task template is not used: the template of answer names {text}: it has {question}, {context}",
        "a task template is not used: there is no task 'paint': "
        "use one of classify, summarize, translate, answer, code",
    ]


async def test_a_stream_is_chunks_the_answer_and_the_end() -> None:
    engine = Engine(says="```py\nx\n```")
    answer = await ask(tasks(engine), "code", {"instruction": "x", "stream": True})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *chunks, last = events(answer)
    assert {chunk["object"] for chunk in chunks} == {"task.chunk"}
    assert "".join(chunk["delta"] for chunk in chunks) == "```py\nx\n```"
    assert last == {
        "object": "task.code",
        "model": "org/model",
        "output": {"language": "py", "code": "x"},
        "finish_reason": "length",
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }
    assert engine.chats()[0]["stream_options"] == {"include_usage": True}


async def test_a_stream_that_fails_has_one_error_and_no_answer() -> None:
    async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
        chunk = b'data: {"model":"m","choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
        error = b'data: {"error":{"message":"File \\"/opt/x.py\\", line 1","type":"X","code":500}}\n\n'
        await streams(send, b": ping\n\n" + chunk + error + b"data: [DONE]\n\n")

    answer = await ask(tasks(engine), "answer", {"question": "Who?", "stream": True})
    chunk, error = events(answer)
    assert chunk == {"object": "task.chunk", "delta": "a"}
    assert error["error"]["message"] == "The server failed on this request."


async def test_a_stream_that_breaks_off_is_ended_by_one_error() -> None:
    async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("the engine is gone")

    answer = await ask(ErrorShaping(tasks(engine)), "answer", {"question": "Who?", "stream": True})
    assert answer.ended
    assert answer.body.count(b'data: {"error"') == 1


@pytest.mark.parametrize(
    ("status", "error", "param", "code"),
    [
        (400, {"message": "too long (/opt/x/y)", "param": "input_tokens", "code": 400}, "text", None),
        (400, {"message": "no template"}, "text", None),
        (400, {"message": "too many", "param": "max_tokens"}, "max_tokens", None),
        (404, {"message": "no such", "param": "model", "code": 404}, "model", "model_not_found"),
        (503, {"message": "File x, line 3"}, None, "overloaded"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_engine_refuses_is_passed_on_and_names_the_field(
    status: int, error: dict[str, Any], param: str | None, code: str | None, stream: bool
) -> None:
    engine = replies(status, json.dumps({"error": error}).encode())
    answer = await ask(tasks(engine), "translate", {"text": "x", "target": "Dutch", "stream": stream})
    assert (answer.status, answer.error["param"], answer.error["code"]) == (status, param, code)
    assert "/opt" not in answer.error["message"]
    assert "line 3" not in answer.error["message"]


async def test_a_text_that_is_too_long_to_classify_names_the_text() -> None:
    engine = replies(400, b'{"error":{"message":"too long","param":"input_tokens"}}')
    answer = await ask(tasks(engine), "classify", {"text": "x", "labels": ["a", "b"]})
    assert (answer.status, answer.error["param"], answer.error["message"]) == (400, "text", "too long")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_generation(stream: bool) -> None:
    heard: list[str] = []
    begun = asyncio.Event()

    async def engine(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        heard.append((await receive())["type"])
        await reply_json(send, 200, b"null")

    leaves = asyncio.Event()
    body = {"question": "Who?", "stream": stream}
    asked = asyncio.create_task(ask(tasks(engine), "answer", body, leaves=leaves))
    await begun.wait()
    assert not asked.done()
    leaves.set()
    answer = await asked
    assert heard == ["http.disconnect"]
    assert b"task.answer" not in answer.body
    assert answer.ended


@pytest.mark.parametrize("task", ["", "paint", "Classify", "classify/", "classify/x", "../completions", "x" * 9999])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_tasks_do_not_exist(task: str, method: str) -> None:
    answer = await ask(tasks(Engine()), task, {}, method)
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")
    assert "classify,summarize,translate,answer,code" in answer.error["message"]
    assert len(answer.body) < 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_a_task_is_posted(method: str) -> None:
    answer = await ask(tasks(Engine()), "classify", {}, method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_what_is_invalid_does_not_reach_the_engine() -> None:
    engine = Engine()
    answer = await ask(tasks(engine), "classify", {"text": "x", "labels": ["a"]})
    assert (answer.status, answer.error["param"]) == (400, "labels")
    assert engine.asked == []


async def test_a_body_without_bound_is_refused() -> None:
    engine = Engine()
    answer = await ask(tasks(engine), "answer", b" " * (JSON_BYTES + 1))
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert engine.asked == []


@pytest.mark.parametrize(
    ("task", "body"),
    [
        ("answer", {"question": "Who?"}),
        ("answer", {"question": "Who?", "stream": True}),
        ("classify", {"text": "x", "labels": ["a", "b"]}),
    ],
)
@pytest.mark.parametrize("answers", [True, False])
async def test_the_access_log_names_the_model_once_the_engine_knows_it(
    task: str, body: dict[str, Any], answers: bool
) -> None:
    heard: list[Access] = []
    engine = Engine() if answers else replies(404, b'{"error":{"message":"no such","param":"model"}}')
    await ask(AccessLog(tasks(engine), [heard.append], lambda: 0.0), task, {**body, "model": "org/other"})
    assert [access.model for access in heard] == ["org/other" if answers else ""]
