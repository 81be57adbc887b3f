"""Each route with the official client of its kind, through the Ingress, against real small models."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import cohere
import httpx
import openai
import pytest

from hack import model
from tests.e2e.encoders import CLASSIFIER, ENCODER, encoding
from tests.e2e.site import ROOM, SERVICE, Site

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": CITY}}
ABOUT_CATS, ABOUT_STOCKS = "A kitten slept on the sofa.", "Share prices fell on Monday."


@pytest.fixture(scope="module")
def chat(served: Site) -> openai.OpenAI:
    """The official client on the URL with the name."""
    return served.client(path=f"{ROOM}/{SERVICE}")


@pytest.fixture(scope="module")
def raw(served: Site) -> Iterator[httpx.Client]:
    """Plain HTTP on the URL with the name, for routes that no official client has."""
    with plain(served, SERVICE) as client:
        yield client


def plain(site: Site, name: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {site.keys[ROOM]}"}
    return httpx.Client(base_url=f"{site.base_url}/{ROOM}/{name}/v1/", headers=headers, timeout=120)


def ask(chat: openai.OpenAI, **more: Any) -> Any:
    return chat.chat.completions.create(**{"model": SERVICE, "messages": QUESTION, "max_tokens": 12, **more})


def test_a_model_is_described(chat: openai.OpenAI) -> None:
    assert chat.models.retrieve(SERVICE).id == SERVICE


def test_choices_and_logprobs(chat: openai.OpenAI) -> None:
    answer = ask(chat, n=2, temperature=1, logprobs=True, top_logprobs=3)
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.logprobs.content
        assert all(len(token.top_logprobs) >= 3 and token.logprob <= 0 for token in choice.logprobs.content)


def test_a_seed_repeats_an_answer(chat: openai.OpenAI) -> None:
    """After a first request, so that both find the same prefix in the cache: other batches, other roundings."""
    ask(chat)
    texts = [ask(chat, seed=7, temperature=1).choices[0].message.content for _ in range(2)]
    assert texts[0] == texts[1]


def test_an_answer_stops_where_it_is_told(chat: openai.OpenAI) -> None:
    choice = ask(chat, temperature=0, max_tokens=24, stop=["Paris"]).choices[0]
    assert choice.finish_reason == "stop"
    assert "Paris" not in (choice.message.content or "")


@pytest.mark.parametrize("asked", [True, False])
def test_usage_of_a_stream_is_told_where_it_is_asked_for(chat: openai.OpenAI, asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(ask(chat, stream=True, **options))
    assert [chunk.usage is not None for chunk in chunks if not chunk.choices] == ([True] if asked else [])


def test_an_answer_of_a_json_schema(chat: openai.OpenAI) -> None:
    schema = {"name": "answer", "strict": True, "schema": CITY}
    answer = ask(chat, max_tokens=60, response_format={"type": "json_schema", "json_schema": schema})
    assert list(json.loads(answer.choices[0].message.content)) == ["city"]


def test_a_named_tool_is_called(chat: openai.OpenAI) -> None:
    choice = {"type": "function", "function": {"name": "weather"}}
    (call,) = ask(chat, max_tokens=60, tools=[TOOL], tool_choice=choice).choices[0].message.tool_calls
    assert (call.function.name, list(json.loads(call.function.arguments))) == ("weather", ["city"])
    assert not ask(chat, tools=[TOOL], tool_choice="none").choices[0].message.tool_calls


def test_the_answer_of_a_tool_goes_in(chat: openai.OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert ask(chat, messages=[*QUESTION, *turns]).usage.completion_tokens > 0


def test_fields_of_vllm_and_fields_without_a_meaning_here(chat: openai.OpenAI) -> None:
    more = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "structured_outputs": {"choice": ["Paris", "Rome"]}}
    answer = ask(chat, user="u", metadata={"a": "b"}, store=False, service_tier="auto", extra_body=more)
    assert answer.choices[0].message.content in ("Paris", "Rome")


def test_completions_of_several_prompts(chat: openai.OpenAI) -> None:
    prompts = ["The capital of France is", "The capital of Italy is"]
    answer = chat.completions.create(model=SERVICE, prompt=prompts, max_tokens=4, temperature=0, logprobs=1)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert "Paris" in answer.choices[0].text


def test_the_legacy_route_of_engines(raw: httpx.Client) -> None:
    body = {"prompt": "The capital of France is", "max_tokens": 4, "temperature": 0}
    assert "Paris" in raw.post(f"engines/{SERVICE}/completions", json=body).json()["choices"][0]["text"]
    unknown = raw.post("engines/org/other/completions", json=body)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


def test_responses(chat: openai.OpenAI) -> None:
    answer = chat.responses.create(
        model=SERVICE, input="What is the capital of France?", max_output_tokens=24, temperature=0, store=False
    )
    assert "Paris" in answer.output_text
    assert answer.usage is not None
    events = [
        event.type for event in chat.responses.create(model=SERVICE, input="Hi", max_output_tokens=4, stream=True)
    ]
    assert (events[0], events[-1]) == ("response.created", "response.completed")


def test_responses_go_on_from_items(chat: openai.OpenAI) -> None:
    first = chat.responses.create(model=SERVICE, input="Say a colour.", max_output_tokens=8)
    said = [item.model_dump(exclude_none=True) for item in first.output]
    turns: list[Any] = [{"role": "user", "content": "Say a colour."}, *said, {"role": "user", "content": "Another."}]
    assert chat.responses.create(model=SERVICE, input=turns, max_output_tokens=8).output_text


def test_tokens_there_and_back(raw: httpx.Client) -> None:
    told = raw.post("tokenize", json={"model": SERVICE, "prompt": "hello world", "return_token_strs": True}).json()
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"])
    assert raw.post("detokenize", json={"model": SERVICE, "tokens": told["tokens"]}).json()["prompt"] == "hello world"
    assert raw.post("tokenize", json={"model": SERVICE, "messages": QUESTION}).json()["count"] > 10


def test_messages_with_anthropics_client(served: Site) -> None:
    url = f"{served.base_url}/{ROOM}/{SERVICE}"
    client = anthropic.Anthropic(base_url=url, api_key=served.keys[ROOM], max_retries=0)
    turns: list[Any] = QUESTION
    answer = client.messages.create(
        model=SERVICE, max_tokens=24, messages=turns, system="Be brief.", extra_body={"temperature": 0}
    )
    assert answer.role == "assistant"
    assert answer.usage.output_tokens > 0
    with client.messages.stream(model=SERVICE, max_tokens=8, messages=turns) as stream:
        assert "".join(stream.text_stream)
    assert client.messages.count_tokens(model=SERVICE, messages=turns).input_tokens > 10
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model=SERVICE, max_tokens=0, messages=turns)
    assert refused.value.body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "max_tokens: Input should be greater than or equal to 1",
        },
    }


def test_the_asynchronous_client(served: Site) -> None:
    async def texts() -> list[str]:
        url = f"{served.base_url}/{ROOM}/{SERVICE}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=served.keys[ROOM], max_retries=0) as client:
            asked = [
                client.completions.create(model=SERVICE, prompt="One, two,", max_tokens=3, temperature=0)
                for _ in range(4)
            ]
            return [answer.choices[0].text for answer in await asyncio.gather(*asked)]

    assert len(set(asyncio.run(texts()))) == 1


def test_routes_of_other_tasks_do_not_exist(chat: openai.OpenAI, raw: httpx.Client) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        chat.embeddings.create(model=SERVICE, input="Hi")
    assert refused.value.code == "unknown_url"
    for path in ("score", "rerank", "classify", "audio/transcriptions"):
        answer = raw.post(path, json={"model": SERVICE})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


@pytest.fixture(scope="module")
def encoder(site: Site) -> Iterator[str]:
    """A service for embeddings and scores."""
    with encoding(site, ENCODER, model.MINILM, ["Embed", "Score"]) as name:
        yield name


def test_embeddings_tell_meaning(site: Site, encoder: str) -> None:
    client = site.client(path=f"{ROOM}/{encoder}")
    inputs = ["The cat sat on the mat.", ABOUT_CATS, ABOUT_STOCKS]
    asked, near, far = (item.embedding for item in client.embeddings.create(model=encoder, input=inputs).data)
    assert len(asked) == 384
    assert dot(asked, near) > dot(asked, far) + 0.2


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_scores_and_ranks(site: Site, encoder: str) -> None:
    query, documents = "Where did the cat sleep?", [ABOUT_STOCKS, ABOUT_CATS]
    with plain(site, encoder) as raw:
        told = raw.post("score", json={"model": encoder, "text_1": query, "text_2": documents}).json()["data"]
        assert told[1]["score"] > told[0]["score"]
    client = cohere.ClientV2(api_key=site.keys[ROOM], base_url=f"{site.base_url}/{ROOM}/{encoder}")
    ranked = client.rerank(model=encoder, query=query, documents=documents, top_n=2)
    assert [result.index for result in ranked.results] == [1, 0]


def test_an_encoder_does_not_chat(site: Site, encoder: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ask(site.client(path=f"{ROOM}/{encoder}"), model=encoder)
    assert refused.value.code == "unknown_url"


def test_classes_have_labels(site: Site) -> None:
    with encoding(site, CLASSIFIER, model.CLASSIFIER, ["Classify"]) as name, plain(site, name) as raw:
        told = raw.post("classify", json={"model": name, "input": ["good", "bad"]}).json()["data"]
        assert len(told) == 2
        assert {item["label"] for item in told} <= {"negative", "positive"}
        assert all(abs(sum(item["probs"]) - 1) < 0.01 and item["num_classes"] == 2 for item in told)
