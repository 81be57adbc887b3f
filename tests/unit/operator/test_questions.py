"""The least that a model is asked of each task, and what an answer to it looks like."""

import email.parser
import io
import json
import wave
from typing import Any, get_args

import pytest

from llmservice_operator.observed import Question
from llmservice_operator.questions import answer_is_given, asked
from llmservice_worker.args import Task

JSON_TASKS: list[tuple[Task, str, dict[str, Any]]] = [
    ("generate", "/completions", {"prompt": "Hi", "max_tokens": 1, "temperature": 0}),
    ("embed", "/embeddings", {"input": "Hi"}),
    ("score", "/score", {"text_1": "Hi", "text_2": "Hello"}),
    ("classify", "/classify", {"input": "Hi"}),
]


@pytest.mark.parametrize(("task", "path", "body"), JSON_TASKS)
def test_a_question_in_json(task: Task, path: str, body: dict[str, Any]) -> None:
    found = asked(Question("qwen", task))
    assert (found.path, found.content_type) == (path, "application/json")
    assert json.loads(found.body) == {"model": "qwen"} | body


def test_a_transcript_is_asked_of_a_second_of_silence() -> None:
    found = asked(Question("whisper", "transcribe"))
    assert found.path == "/audio/transcriptions"
    head = f"Content-Type: {found.content_type}\r\n\r\n".encode()
    parts = {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in email.parser.BytesParser().parsebytes(head + found.body).walk()
        if not part.is_multipart()
    }
    assert parts["model"] == b"whisper"
    clip = parts["file"]
    assert isinstance(clip, bytes)
    with wave.open(io.BytesIO(clip)) as read:
        assert (read.getnframes(), read.getframerate(), read.getnchannels()) == (16000, 16000, 1)
        assert not any(read.readframes(16000))


GIVEN: list[tuple[Task, dict[str, Any], bool]] = [
    ("generate", {"usage": {"completion_tokens": 1}}, True),
    ("generate", {"usage": {"completion_tokens": 0}}, False),
    ("generate", {"data": [{}]}, False),
    ("embed", {"data": [{"embedding": [0.1]}]}, True),
    ("embed", {"data": []}, False),
    ("score", {"data": [{"score": 0.1}]}, True),
    ("score", {}, False),
    ("classify", {"data": [{"label": "x"}]}, True),
    ("classify", {"data": "x"}, False),
    ("transcribe", {"text": ""}, True),
    ("transcribe", {}, False),
]


@pytest.mark.parametrize(("task", "body", "given"), GIVEN)
def test_an_answer_holds_what_its_task_gives(task: Task, body: dict[str, Any], given: bool) -> None:
    assert answer_is_given(task, body) is given


def test_every_task_has_a_question() -> None:
    assert len({asked(Question("m", task)).path for task in get_args(Task)}) == len(get_args(Task))
