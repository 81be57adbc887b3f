"""What is asked of each task: strict types, unknown fields refused."""

from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmservice_worker.errors import error_body


def _has_a_word(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold more than white space")
    return text


Text = Annotated[str, Field(min_length=1, max_length=2_000_000), AfterValidator(_has_a_word)]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_has_a_word)]
Short = Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_has_a_word)]


class TaskRequest(BaseModel):
    """What all tasks take."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str | None = Field(default=None, min_length=1, max_length=256)

    def values(self) -> dict[str, str | None]:
        """What the task's template may name, as text; None where the request does not say it."""
        asked = self.model_dump(exclude=set(TaskRequest.model_fields) | set(WritingRequest.model_fields))
        return {name: _as_text(value) for name, value in asked.items()}


class WritingRequest(TaskRequest):
    """What the tasks take whose answer the model writes; without `max_tokens` it may be as long as the context."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    stream: bool = False


class Classify(TaskRequest):
    """Which of `labels` fits `text`; `instructions` say how to choose."""

    text: Text
    labels: Annotated[list[Name], Field(min_length=2, max_length=64)]
    instructions: Short | None = None

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: must differ from each other")
        return self


class Summarize(WritingRequest):
    """`text` in about `words` words, or in `sentences` sentences; in `language`, or that of the text."""

    text: Text
    words: Annotated[int, Field(ge=1, le=100_000)] | None = None
    sentences: Annotated[int, Field(ge=1, le=10_000)] | None = None
    language: Name | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.words is not None and self.sentences is not None:
            raise ValueError("sentences: give either words or sentences")
        return self


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


class Invalid(ValueError):
    """A body that is no request of the task; `body` is the answer, with status 400."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.body = error_body(400, message, param)


def parsed(task: str, body: bytes) -> TaskRequest:
    """The request in `body`; raises Invalid, which names the first field that is wrong."""
    try:
        return REQUESTS[task].model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _invalid(first) from None


def _invalid(error: Any) -> Invalid:
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        return Invalid(f"The body is not JSON: {message.removeprefix('Invalid JSON: ')}", None)
    param = ".".join(map(str, error["loc"])) or None
    if param is None and error["type"] == "value_error":
        param, _, message = message.partition(": ")
    return Invalid(f"{param}: {message}" if param else message, param)


def _as_text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(value)
    return None if value is None else str(value)
