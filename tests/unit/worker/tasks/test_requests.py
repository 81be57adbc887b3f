import json
from typing import Any

import pytest

from llmservice_worker.errors import Refused
from llmservice_worker.tasks.requests import parsed

LABELS = ["a", "b"]


def error(task: str, body: bytes | dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(Refused) as refused:
        parsed(task, body if isinstance(body, bytes) else json.dumps(body).encode(), "m")
    assert refused.value.status == 400
    found: dict[str, Any] = json.loads(refused.value.body)["error"]
    return found


@pytest.mark.parametrize(
    ("task", "body", "param"),
    [
        ("classify", {"labels": LABELS}, "text"),
        ("classify", {"text": "", "labels": LABELS}, "text"),
        ("classify", {"text": " \n", "labels": LABELS}, "text"),
        ("classify", {"text": 7, "labels": LABELS}, "text"),
        ("classify", {"text": None, "labels": LABELS}, "text"),
        ("classify", {"text": "x"}, "labels"),
        ("classify", {"text": "x", "labels": "a, b"}, "labels"),
        ("classify", {"text": "x", "labels": ["a"]}, "labels"),
        ("classify", {"text": "x", "labels": [str(n) for n in range(65)]}, "labels"),
        ("classify", {"text": "x", "labels": ["a", "a"]}, "labels"),
        ("classify", {"text": "x", "labels": ["a", ""]}, "labels.1"),
        ("classify", {"text": "x", "labels": ["a", "b" * 129]}, "labels.1"),
        ("classify", {"text": "x", "labels": ["a", 2]}, "labels.1"),
        ("classify", {"text": "x", "labels": LABELS, "stream": True}, "stream"),
        ("classify", {"text": "x", "labels": LABELS, "temperature": 1}, "temperature"),
        ("classify", {"text": "x", "labels": LABELS, "model": ""}, "model"),
        ("summarize", {"text": "x", "words": 0}, "words"),
        ("summarize", {"text": "x", "words": "10"}, "words"),
        ("summarize", {"text": "x", "words": True}, "words"),
        ("summarize", {"text": "x", "words": 1e9}, "words"),
        ("summarize", {"text": "x", "words": 9, "sentences": 1}, "sentences"),
        ("summarize", {"text": "x", "lenght": 3}, "lenght"),
        ("translate", {"text": "x"}, "target"),
        ("translate", {"text": "x", "target": "x" * 129}, "target"),
        ("answer", {"context": "x"}, "question"),
        ("code", {"instruction": ["x"]}, "instruction"),
        ("code", {"instruction": "x", "max_tokens": 0}, "max_tokens"),
        ("code", {"instruction": "x", "max_tokens": 2**63}, "max_tokens"),
        ("code", {"instruction": "x", "max_tokens": "10"}, "max_tokens"),
        ("code", {"instruction": "x", "temperature": -1}, "temperature"),
        ("code", {"instruction": "x", "temperature": 2.1}, "temperature"),
        ("code", {"instruction": "x", "seed": 2**63}, "seed"),
        ("code", {"instruction": "x", "stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_field_is_named(task: str, body: dict[str, Any], param: str) -> None:
    found = error(task, body)
    assert (found["param"], found["type"]) == (param, "invalid_request_error")
    assert param in found["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"text"', b'{"text":"\\ud800","target":"x"}', b'{"text":"\xff","target":"x"}',
        b"[" * 100_000, b'{"text":' * 100_000, b'{"text":"x","target":"x","temperature":NaN}',
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_without_its_content(body: bytes) -> None:
    found = error("translate", body)
    assert len(found["message"]) < 200
    assert "value error" not in found["message"].lower()


def test_a_key_that_comes_twice_is_refused() -> None:
    assert error("answer", b'{"question":"a","question":"b"}')["param"] == "question"


def test_the_least_is_enough() -> None:
    assert parsed("answer", b'{"question":"Who?"}', "m").model_dump(exclude_none=True) == {
        "model": "m",
        "question": "Who?",
        "temperature": 0,
        "stream": False,
    }


def test_a_model_may_be_named() -> None:
    assert parsed("answer", b'{"question":"Who?","model":"org/other"}', "m").model == "org/other"
