"""Tasks on the real model, through the gateway, on the URL with the name."""

import json
import math
import urllib.request
from typing import Any

import openai
import pytest

from hack.cluster.poll import wait_until
from tests.e2e.site import ASK_AGAIN, ROOM, SERVICE, Site, wait_ready

Json = dict[str, Any]

TOWER = (
    "The Eiffel Tower is a wrought-iron lattice tower in Paris, France. It is named after the engineer Gustave Eiffel, "
    "whose company designed and built the tower from 1887 to 1889 for a world's fair. It is the most visited monument "
    "with an entrance fee in the world: millions of people ascend it every year."
)
WRITING: dict[str, tuple[Json, str]] = {
    "summarize": ({"text": TOWER, "sentences": 1}, "task.summary"),
    "translate": ({"text": "Good morning", "target": "French", "source": "English"}, "task.translation"),
    "answer": ({"question": "Who was the tower named after?", "context": TOWER}, "task.answer"),
    "code": ({"instruction": "Write a function that adds two numbers.", "language": "Python"}, "task.code"),
}


def do(site: Site, task: str, **fields: Any) -> Json:
    """The answer of a task."""
    answer: Any = site.client(path=f"{ROOM}/{SERVICE}").post(f"/tasks/{task}", body=fields, cast_to=object)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this phone, best purchase ever.", "positive"),
        ("The staff were friendly and helpful.", "positive"),
        ("This is the worst laptop I have ever owned.", "negative"),
        ("Terrible service, I want my money back.", "negative"),
    ],
)
def test_classify_answers_one_of_the_labels_with_probabilities(served: Site, text: str, label: str) -> None:
    answer = do(served, "classify", text=text, labels=["positive", "negative"])
    assert (answer["object"], answer["model"], answer["label"]) == ("task.classification", SERVICE, label)
    found = {entry["label"]: entry["probability"] for entry in answer["probabilities"]}
    assert set(found) == {"positive", "negative"}
    assert math.isclose(sum(found.values()), 1, abs_tol=1e-9)
    assert found[label] == max(found.values())
    assert answer["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("task", WRITING)
def test_a_task_answers_with_its_type(served: Site, task: str) -> None:
    fields, kind = WRITING[task]
    answer = do(served, task, **fields, max_tokens=64)
    assert (answer["object"], answer["model"]) == (kind, SERVICE)
    assert answer["finish_reason"] in ("stop", "length")
    assert 0 < answer["usage"]["completion_tokens"] <= 64
    if task == "code":
        assert answer["output"]["language"].lower() == "python"
        assert "def " in answer["output"]["code"]
        assert "```" not in answer["output"]["code"]
    else:
        assert answer["output"].strip()


def test_a_summary_is_of_the_text(served: Site) -> None:
    assert "Eiffel" in do(served, "summarize", text=TOWER, sentences=1, max_tokens=64)["output"]


def test_a_streamed_task_ends_with_its_typed_answer(served: Site) -> None:
    body = {"question": "What is the capital of France?", "max_tokens": 24, "stream": True}
    headers = {"authorization": f"Bearer {served.keys[ROOM]}", "content-type": "application/json"}
    url = f"{served.base_url}/{ROOM}/{SERVICE}/v1/tasks/answer"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=120) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [line.decode().strip().removeprefix("data: ") for line in answer if line.strip()]
    assert events.pop() == "[DONE]"
    *chunks, last = [json.loads(event) for event in events]
    assert len(chunks) > 3
    assert {chunk["object"] for chunk in chunks} == {"task.chunk"}
    assert last["object"] == "task.answer"
    assert last["output"] == "".join(chunk["delta"] for chunk in chunks).strip()
    assert "Paris" in last["output"]


@pytest.mark.parametrize(
    ("task", "fields", "param"),
    [
        ("classify", {"text": "x", "labels": ["only"]}, "labels"),
        ("summarize", {"text": "x", "lenght": 3}, "lenght"),
        ("summarize", {"text": "word " * 20_000}, "text"),
        ("classify", {"text": "word " * 20_000, "labels": ["a", "b"]}, "text"),
    ],
)
def test_a_bad_request_names_its_field(served: Site, task: str, fields: Json, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        do(served, task, **fields)
    assert refused.value.param == param


def test_a_template_takes_effect_without_a_new_revision(served: Site) -> None:
    before = wait_ready(served, ROOM, SERVICE)["status"]["revision"]["active"]
    own = _prompt_tokens(served)
    try:
        _patch(served, {"answer": "{question}" + " Please." * 100})
        wait_until(lambda: _prompt_tokens(served) >= own + 100, "the template is used", timeout=120, interval=ASK_AGAIN)
        assert wait_ready(served, ROOM, SERVICE)["status"]["revision"]["active"] == before
    finally:
        _patch(served, None)
    wait_until(lambda: _prompt_tokens(served) == own, "ours is used again", timeout=120, interval=ASK_AGAIN)


def _prompt_tokens(site: Site) -> int:
    tokens: int = do(site, "answer", question="Who?", max_tokens=1)["usage"]["prompt_tokens"]
    return tokens


def _patch(site: Site, templates: dict[str, str] | None) -> None:
    patch = json.dumps({"spec": {"taskTemplates": templates}})
    site.api.kubectl("patch", "llm", SERVICE, "--namespace", ROOM, "--type=merge", "--patch", patch)
