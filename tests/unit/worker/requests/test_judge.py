"""Bodies and what is said of them: one table for each route."""

from typing import Any

import pytest

from llmservice_worker.errors import Refused
from llmservice_worker.requests.fields import Limits, Request
from llmservice_worker.requests.generation import ChatRequest, CompletionRequest
from llmservice_worker.requests.judge import judged
from llmservice_worker.requests.messages import CountTokensRequest, MessagesRequest
from llmservice_worker.requests.pooling import ClassifyRequest, EmbeddingsRequest, RerankRequest, ScoreRequest
from llmservice_worker.requests.responses import ResponsesRequest
from llmservice_worker.requests.tokens import DetokenizeRequest, TokenizeRequest
from llmservice_worker.requests.transcription import TranscriptionForm
from tests.unit.worker.asgi_apps import error_of

Body = dict[str, Any]

LIMITS = Limits(vocabulary=100, context=2048)
USER = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
LEAST: dict[type[Request], Body] = {
    ChatRequest: {"messages": [USER]},
    CompletionRequest: {"prompt": "Hi"},
    ResponsesRequest: {"input": "Hi"},
    MessagesRequest: {"messages": [USER], "max_tokens": 5},
    CountTokensRequest: {"messages": [USER]},
    EmbeddingsRequest: {"input": "Hi"},
    ScoreRequest: {"text_1": "a", "text_2": ["b", "c"]},
    RerankRequest: {"query": "a", "documents": ["b", "c"]},
    ClassifyRequest: {"input": ["a"]},
    TokenizeRequest: {"prompt": "Hi"},
    DetokenizeRequest: {"tokens": [1, 99]},
    TranscriptionForm: {},
}


def judge(kind: type[Request], **fields: Any) -> Request:
    return judged(kind, {"model": "m", **LEAST[kind], **fields}, LIMITS)


def refusal(kind: type[Request], **fields: Any) -> Body:
    with pytest.raises(Refused) as refused:
        judge(kind, **fields)
    assert refused.value.status == 400
    return error_of(refused.value.body)


@pytest.mark.parametrize("kind", LEAST)
def test_the_least_that_a_route_takes(kind: type[Request]) -> None:
    assert judge(kind).model == "m"


@pytest.mark.parametrize("kind", LEAST)
def test_a_model_must_be_named(kind: type[Request]) -> None:
    with pytest.raises(Refused) as refused:
        judged(kind, dict(LEAST[kind]), LIMITS)
    error = error_of(refused.value.body)
    assert (error["param"], error["code"]) == ("model", "missing_required_parameter")


@pytest.mark.parametrize("kind", LEAST)
@pytest.mark.parametrize(
    "field",
    ["frobnicate", "chat_template", "prompt_embeds", "kv_transfer_params", "vllm_xargs", "guided_decoding_backend"],
)
def test_a_field_that_is_not_listed_is_refused_by_its_name(kind: type[Request], field: str) -> None:
    error = refusal(kind, **{field: 1})
    assert error["param"] == field
    assert error["message"].startswith(f"Unrecognized request argument supplied: {field}")


ACCEPTED: list[tuple[type[Request], Body]] = [
    (ChatRequest, {"temperature": 1, "top_p": 1, "n": 16, "top_k": -1, "min_p": 0, "seed": -(2**63), "stop": "x"}),
    (ChatRequest, {"stream": True, "stream_options": {"include_usage": True}, "stop": ["a", "b"], "max_tokens": None}),
    (ChatRequest, {"logprobs": True, "top_logprobs": 20, "logit_bias": {"99": -100, "0": 100}}),
    (ChatRequest, {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "verbosity": "low"}),
    (ChatRequest, {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}),
    (ChatRequest, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}}),
    (ChatRequest, {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}),
    (ChatRequest, {"response_format": {"type": "json_object"}}),
    (ChatRequest, {"structured_outputs": {"regex": r"[A-Z]\w{1,8}( \d+)?"}}),
    (ChatRequest, {"structured_outputs": {"json": SCHEMA}}),
    (ChatRequest, {"structured_outputs": {"json": '{"type":"object"}'}}),
    (ChatRequest, {"structured_outputs": {"choice": ["yes", "no"]}}),
    (ChatRequest, {"chat_template_kwargs": {"enable_thinking": False, "thinking": True}}),
    (ChatRequest, {"continue_final_message": True, "add_generation_prompt": False}),
    (ChatRequest, {"messages": [{"role": "assistant", "content": None, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"}]}),
    (ChatRequest, {"messages": [{"role": "assistant", "content": "a", "refusal": None, "annotations": [],
                                 "audio": None, "function_call": None, "tool_calls": None}, USER]}),
    (ChatRequest, {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:…", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]}]}),
    (CompletionRequest, {"prompt": ["a", "b"], "logprobs": 5, "echo": True, "best_of": 1, "suffix": None}),
    (CompletionRequest, {"prompt": [0, 99]}),
    (CompletionRequest, {"prompt": [[1], [2, 3]], "stop_token_ids": [5], "allowed_token_ids": [1], "bad_words": ["x"]}),
    (ResponsesRequest, {"input": [{"role": "user", "content": "a"}, {"type": "message", "role": "assistant", "id": "m",
                        "status": "completed", "content": [{"type": "output_text", "text": "b", "annotations": []}]}]}),
    (ResponsesRequest, {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                                  {"type": "function_call_output", "call_id": "c", "output": "1"}]}),
    (ResponsesRequest, {"input": [{"type": "reasoning", "id": "r", "summary": [], "content": None}, USER]}),
    (ResponsesRequest, {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}}}),
    (ResponsesRequest, {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}],
                        "tool_choice": {"type": "function", "name": "f"}, "store": False}),
    (MessagesRequest, {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
                       "stop_sequences": ["x"], "metadata": {"user_id": "u"}, "thinking": {"type": "disabled"}}),
    (MessagesRequest, {"messages": [{"role": "user", "content": [{"type": "image", "source": {
        "type": "base64", "media_type": "image/png", "data": "AA=="}}]}]}),
    (MessagesRequest, {"messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": None}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]}],
        "tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "any"}}),
    (EmbeddingsRequest, {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 8, "user": "u"}),
    (EmbeddingsRequest, {"input": [[1, 2], [3]]}),
    (ScoreRequest, {"text_1": None, "text_2": None, "queries": "a", "documents": ["b"]}),
    (RerankRequest, {"top_n": 1, "return_documents": True, "max_tokens_per_doc": 100}),
    (TokenizeRequest, {"prompt": None, "messages": [USER], "tools": [TOOL], "add_generation_prompt": True}),
    (TranscriptionForm, {"temperature": "0.2", "stream": "true", "timestamp_granularities[]": ["word"],
                         "response_format": "verbose_json", "language": "en"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), ACCEPTED)
def test_what_clients_send_is_taken(kind: type[Request], fields: Body) -> None:
    assert judge(kind, **fields).model == "m"


REFUSED: list[tuple[type[Request], str, Body]] = [
    *((ChatRequest, "n", {"n": n}) for n in (0, -1, 10**9, 17, 1.5, True, "1")),
    *((ChatRequest, "max_tokens", {"max_tokens": most}) for most in (-1, 0, 2**63, True, "10", 1.0)),
    *((ChatRequest, "max_completion_tokens", {"max_completion_tokens": most}) for most in (-1, 2**63)),
    *((ChatRequest, "temperature", {"temperature": heat}) for heat in (-1, 2.1, float("inf"), float("nan"), "1")),
    *((ChatRequest, name, {name: 1e9}) for name in ("frequency_penalty", "presence_penalty", "repetition_penalty")),
    *((ChatRequest, "logit_bias", {"logit_bias": bias}) for bias in ({"100": 1}, {"-1": 1}, {"x": 1}, {"٣": 1})),
    (ChatRequest, "logit_bias.1", {"logit_bias": {"1": 101}}),
    (ChatRequest, "allowed_token_ids", {"allowed_token_ids": [100]}),
    (ChatRequest, "stop_token_ids", {"stop_token_ids": [-1]}),
    (ChatRequest, "bad_words.0", {"bad_words": [7]}),
    (ChatRequest, "stream", {"stream": "yes"}),
    (ChatRequest, "messages", {"messages": []}),
    (ChatRequest, "messages", {"messages": [USER] * 2049}),
    (ChatRequest, "messages", {"messages": "Hi"}),
    (ChatRequest, "messages.0.role", {"messages": [{"role": "root", "content": "Hi"}]}),
    (ChatRequest, "messages.0.content", {"messages": [{"role": "user", "content": 3}]}),
    (ChatRequest, "messages.0", {"messages": [{"role": "user"}]}),
    (ChatRequest, "messages.0", {"messages": [{"role": "tool", "content": "a"}]}),
    (ChatRequest, "messages.0", {"messages": [3]}),
    (ChatRequest, "messages.0.x", {"messages": [{**USER, "x": 1}]}),
    (ChatRequest, "messages.0.content.0", {"messages": [{"role": "user", "content": [
        {"type": "image_embeds", "image_embeds": "AA=="}]}]}),
    (ChatRequest, "messages.0.content.0.image_url", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": 3}]}]}),
    (ChatRequest, "chat_template_kwargs.chat_template", {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}}),
    (ChatRequest, "chat_template_kwargs.enable_thinking", {"chat_template_kwargs": {"enable_thinking": 1}}),
    (ChatRequest, "structured_outputs.regex", {"structured_outputs": {"regex": "(a+)+b"}}),
    (ChatRequest, "structured_outputs", {"structured_outputs": {}}),
    (ChatRequest, "structured_outputs", {"structured_outputs": {"regex": "a", "choice": ["b"]}}),
    (ChatRequest, "structured_outputs._backend", {"structured_outputs": {"regex": "a", "_backend": "x"}}),
    (ChatRequest, "structured_outputs.json", {"structured_outputs": {"json": "{"}}),
    (ChatRequest, "structured_outputs.json", {"structured_outputs": {"json": "[" * 60_000}}),
    (ChatRequest, "response_format", {"response_format": {"type": "structural_tag"}}),
    (ChatRequest, "response_format.json_schema", {"response_format": {"type": "json_schema"}}),
    (ChatRequest, "response_format.json_schema.schema", {"response_format": {"type": "json_schema", "json_schema": {
        "name": "a", "schema": {"type": "string", "pattern": "(a*)*"}}}}),
    (ChatRequest, "response_format.json_schema.schema", {"response_format": {"type": "json_schema", "json_schema": {
        "name": "a", "schema": {"type": "array", "maxItems": 10**7, "items": {"minLength": 10**7}}}}}),
    (ChatRequest, "structured_outputs.grammar", {"structured_outputs": {
        "grammar": 'root ::= (("a"{1,9999}){1,9999})'}}),
    (ChatRequest, "tools", {"tools": []}),
    (ChatRequest, "tools.0.function.parameters", {"tools": [{"type": "function", "function": {
        "name": "f", "parameters": {"$ref": "http://x/y"}}}]}),
    (ChatRequest, "tool_choice", {"tool_choice": "maybe", "tools": [TOOL]}),
    (ChatRequest, "store", {"store": True}),
    (ChatRequest, "stream_options.x", {"stream": True, "stream_options": {"x": 1}}),
    (CompletionRequest, "prompt", {"prompt": []}),
    (CompletionRequest, "prompt", {"prompt": None}),
    (CompletionRequest, "prompt", {"prompt": [100]}),
    (CompletionRequest, "prompt", {"prompt": [-1]}),
    (CompletionRequest, "prompt.1", {"prompt": [1, "a"]}),
    (CompletionRequest, "prompt.1", {"prompt": [[1], [100]]}),
    (CompletionRequest, "best_of", {"best_of": 2}),
    (ResponsesRequest, "previous_response_id", {"previous_response_id": "resp_1"}),
    (ResponsesRequest, "tools.0.type", {"tools": [{"type": "web_search", "name": "x"}]}),
    (ResponsesRequest, "input.0", {"input": [{"type": "item_reference", "id": "x"}]}),
    (ResponsesRequest, "background", {"background": True}),
    (MessagesRequest, "max_tokens", {"max_tokens": 0}),
    (MessagesRequest, "temperature", {"temperature": 1.5}),
    (MessagesRequest, "messages.0.role", {"messages": [{"role": "system", "content": "a"}]}),
    (EmbeddingsRequest, "input", {"input": []}),
    (EmbeddingsRequest, "input", {"input": ["a"] * 2049}),
    (EmbeddingsRequest, "encoding_format", {"encoding_format": "hex"}),
    (RerankRequest, "documents", {"documents": []}),
    (RerankRequest, "top_n", {"top_n": -1}),
    (DetokenizeRequest, "tokens", {"tokens": [100]}),
    (DetokenizeRequest, "tokens", {"tokens": []}),
    (TranscriptionForm, "temperature", {"temperature": "hot"}),
    (TranscriptionForm, "language", {"language": "../en"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "param", "fields"), REFUSED)
def test_what_is_wrong_is_named_by_its_path(kind: type[Request], param: str, fields: Body) -> None:
    error = refusal(kind, **fields)
    assert error["param"] == param
    assert param.split(".")[-1] in error["message"] or param in error["message"]
    assert len(error["message"]) < 400


@pytest.mark.parametrize(
    ("kind", "said", "fields"),
    [
        (ChatRequest, "stream_options needs stream", {"stream_options": {"include_usage": True}}),
        (ChatRequest, "top_logprobs needs logprobs", {"top_logprobs": 1}),
        (ChatRequest, "tool_choice needs tools", {"tool_choice": "required"}),
        (ChatRequest, "continue_final_message needs", {"continue_final_message": True}),
        (ChatRequest, "two ways", {"response_format": {"type": "text"}, "structured_outputs": {"regex": "a"}}),
        (ResponsesRequest, "tool_choice needs tools", {"tool_choice": "required"}),
        (ScoreRequest, "must hold", {"text_2": None}),
        (ScoreRequest, "must hold", {"queries": "a", "documents": "b"}),
        (ScoreRequest, "as many", {"text_1": ["a", "b"], "text_2": ["c"]}),
        (TokenizeRequest, "either prompt or messages", {"messages": [USER]}),
        (TokenizeRequest, "go with messages", {"add_generation_prompt": True}),
    ],
)
def test_fields_that_do_not_agree_are_said(kind: type[Request], said: str, fields: Body) -> None:
    assert said in refusal(kind, **fields)["message"]


def test_a_name_that_is_long_or_strange_is_cut() -> None:
    error = refusal(ChatRequest, **{"x" * 10_000: 1})
    assert len(error["message"]) < 200


def test_a_million_messages_are_counted_no_further_than_needed() -> None:
    error = refusal(ChatRequest, messages=[{}] * 1_000_000)
    assert error["param"] == "messages.0.role"
    assert "2048" in refusal(ChatRequest, messages=[USER] * 1_000_000)["message"]


def test_grammars_are_what_the_engine_would_compile() -> None:
    chat = judge(
        ChatRequest, tools=[TOOL], response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    )
    assert list(chat.grammars()) == [{}, SCHEMA]
    assert list(judge(ChatRequest, structured_outputs={"regex": "a"}).grammars()) == [{"regex": "a"}]
    assert list(judge(ChatRequest).grammars()) == []
    response = judge(ResponsesRequest, text={"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}})
    assert list(response.grammars()) == [SCHEMA]
    messages = judge(MessagesRequest, tools=[{"name": "f", "input_schema": SCHEMA}])
    assert list(messages.grammars()) == [SCHEMA]


def test_an_image_cannot_say_that_it_is_an_audio() -> None:
    url = "Data:Audio/wav;base64,AAAA"
    parts: list[tuple[type[Request], str, dict[str, Any]]] = [
        (ChatRequest, "messages", {"type": "image_url", "image_url": {"url": url}}),
        (ResponsesRequest, "input", {"type": "input_image", "image_url": url}),
        (MessagesRequest, "messages", {"type": "image", "source": {"type": "url", "url": url}}),
    ]
    for kind, field, part in parts:
        with pytest.raises(Refused, match="must be an image"):
            judge(kind, **{field: [{"role": "user", "content": [part]}]})


def test_urls_are_found_where_each_shape_has_them() -> None:
    part = {"type": "image_url", "image_url": {"url": "u"}}
    assert list(ChatRequest.media({"messages": [USER, {"role": "user", "content": [part]}]})) == [
        (part["image_url"], "url")
    ]
    image = {"type": "input_image", "image_url": "u"}
    assert list(ResponsesRequest.media({"input": [{"role": "user", "content": [image]}]})) == [(image, "image_url")]
    block = {"type": "image", "source": {"type": "url", "url": "u"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    assert list(MessagesRequest.media({"messages": [{"role": "user", "content": [result]}]})) == [
        (block["source"], "url")
    ]
