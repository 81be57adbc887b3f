"""What is asked of each task: strict types, unknown fields refused."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from llmservice_worker import body as bodies
from llmservice_worker.requests import fields as f
from llmservice_worker.requests.judge import judged


def _has_a_word(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold more than white space")
    return text


Text = Annotated[str, Field(min_length=1, max_length=f.TEXT), AfterValidator(_has_a_word)]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_has_a_word)]
Short = Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_has_a_word)]


class TaskRequest(f.Request):
    """What all tasks take."""

    def values(self) -> dict[str, str | None]:
        """What the task's template may name, as text; None where the request does not say it."""
        asked = self.model_dump(exclude=set(WritingRequest.model_fields))
        return {name: _as_text(value) for name, value in asked.items()}


class WritingRequest(TaskRequest):
    """What the tasks take whose answer the model writes; without `max_tokens` it may be as long as the context."""

    max_tokens: f.Tokens | None = None
    temperature: f.Temperature = 0
    seed: f.Seed | None = None
    stream: bool = False


class Classify(TaskRequest):
    """Which of `labels` fits `text`; `instructions` say how to choose."""

    text: Text
    labels: Annotated[list[Name], Field(min_length=2, max_length=64)]
    instructions: Short | None = None

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) != len(labels):
            raise ValueError("must differ from each other")
        return labels


class Summarize(WritingRequest):
    """`text` in about `words` words, or in `sentences` sentences; in `language`, or that of the text."""

    text: Text
    words: Annotated[int, Field(ge=1, le=100_000)] | None = None
    sentences: Annotated[int, Field(ge=1, le=10_000)] | None = None
    language: Name | None = None

    @field_validator("sentences")
    @classmethod
    def _one_length(cls, sentences: int | None, info: ValidationInfo) -> int | None:
        if sentences is not None and info.data.get("words") is not None:
            raise ValueError("give either words or sentences")
        return sentences


class Translate(WritingRequest):
    """`text` in the language `target`; `source` is the language that it is in."""

    text: Text
    target: Name
    source: Name | None = None


class Answer(WritingRequest):
    """The answer to `question`, from `context` alone where there is one."""

    question: Text
    context: Text | None = None


class Code(WritingRequest):
    """Code that does what `instruction` says, in `language`, beginning from `code`."""

    instruction: Text
    language: Name | None = None
    code: Text | None = None


REQUESTS: Final[dict[str, type[TaskRequest]]] = {
    "classify": Classify,
    "summarize": Summarize,
    "translate": Translate,
    "answer": Answer,
    "code": Code,
}


_NO_TOKENS: Final = f.Limits(vocabulary=0)
"""No task takes token ids, which are what limits are for."""


def parsed(task: str, raw: bytes, model: str) -> TaskRequest:
    """The request in the body `raw`, of `model` where it names none; raises Refused, which names the wrong field."""
    body = bodies.parsed(raw)
    request = judged(REQUESTS[task], {"model": model, **body}, _NO_TOKENS)
    bodies.check_duplicates(raw)
    assert isinstance(request, TaskRequest)
    return request


def _as_text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(value)
    return None if value is None else str(value)
