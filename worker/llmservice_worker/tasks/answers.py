"""What each task answers."""

import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

_BLOCK: Final = re.compile(r"^[ \t]*```[ \t]*([^\s`]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)


class Answer(BaseModel):
    """Unknown fields are a mistake of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Usage(Answer):
    """Tokens, as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class LabelProbability(Answer):
    """One label, and how probable it is among those of the request."""

    label: str
    probability: float


class Classification(Answer):
    """The most probable label first; the probabilities sum to 1."""

    object: Literal["task.classification"] = "task.classification"
    model: str
    label: str
    probabilities: list[LabelProbability]
    usage: Usage


class Writing(Answer):
    """A text that the model wrote."""

    object: Literal["task.summary", "task.translation", "task.answer"]
    model: str
    output: str
    finish_reason: str | None
    usage: Usage


class CodeBlock(Answer):
    """Code, and the language that its block (or else the request) names."""

    language: str | None
    code: str


class CodeAnswer(Answer):
    """Code that the model wrote."""

    object: Literal["task.code"] = "task.code"
    model: str
    output: CodeBlock
    finish_reason: str | None
    usage: Usage


class Chunk(Answer):
    """A piece of what the model writes, as it writes it."""

    object: Literal["task.chunk"] = "task.chunk"
    delta: str


_OBJECTS: Final[dict[str, Literal["task.summary", "task.translation", "task.answer"]]] = {
    "summarize": "task.summary",
    "translate": "task.translation",
    "answer": "task.answer",
}


def usage_of(usage: Any, written: bool = True) -> Usage:
    """The engine's `usage`; with `written` False without the token that scoring makes and nobody reads."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"] if written else 0
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def classification(model: str, labels: list[str], probabilities: list[float], usage: Usage) -> Classification:
    """Labels with their probabilities, the most probable first, equal ones in the request's order."""
    ranked = sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1])
    listed = [LabelProbability(label=label, probability=probability) for label, probability in ranked]
    return Classification(model=model, label=listed[0].label, probabilities=listed, usage=usage)


def written(
    task: str, model: str, text: str, finish_reason: str | None, usage: Usage, language: str | None
) -> Writing | CodeAnswer:
    """The answer of a task that the model wrote; `language` is the one asked for, of code."""
    if task == "code":
        return CodeAnswer(model=model, output=code_block(text, language), finish_reason=finish_reason, usage=usage)
    return Writing(object=_OBJECTS[task], model=model, output=text.strip(), finish_reason=finish_reason, usage=usage)


def code_block(text: str, language: str | None) -> CodeBlock:
    """The first fenced block of `text` (to its end where the fence stays open), else all of it."""
    found = _BLOCK.search(text)
    if found is None:
        return CodeBlock(language=language, code=text.strip("\n"))
    return CodeBlock(language=found[1] or language, code=found[2].rstrip("\n"))
