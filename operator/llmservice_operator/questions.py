"""The least that a model can be asked of each of its tasks, and by what an answer is known: pure."""

import json
from dataclasses import dataclass
from typing import Any, Final

from llmservice_operator.observed import Question
from llmservice_worker.args import Task
from llmservice_worker.silent_clip import silent_form

Json = dict[str, Any]

_JSON: Final[dict[Task, tuple[str, Json]]] = {
    "generate": ("/completions", {"prompt": "Hi", "max_tokens": 1, "temperature": 0}),
    "embed": ("/embeddings", {"input": "Hi"}),
    "score": ("/score", {"text_1": "Hi", "text_2": "Hello"}),
    "classify": ("/classify", {"input": "Hi"}),
}


@dataclass(frozen=True)
class Request:
    """A POST: its path under the base URL, and its body."""

    path: str
    content_type: str
    body: bytes


def asked(question: Question) -> Request:
    """The request of a question."""
    if question.task == "transcribe":
        form, kind = silent_form(question.model)
        return Request("/audio/transcriptions", kind, form)
    path, body = _JSON[question.task]
    return Request(path, "application/json", json.dumps({"model": question.model, **body}).encode())


def answer_is_given(task: Task, body: Json) -> bool:
    """Whether the body of a 200 holds what the task gives; of silence an empty text is a good transcript."""
    if task == "transcribe":
        return isinstance(body.get("text"), str)
    if task == "generate":
        return bool((body.get("usage") or {}).get("completion_tokens"))
    return isinstance(body.get("data"), list) and bool(body["data"])
