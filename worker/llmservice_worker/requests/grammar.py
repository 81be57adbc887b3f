"""What an answer's form may be bound to: response_format, structured_outputs, tools."""

import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, Tag, model_validator

from llmservice_worker.requests.ebnf import check_grammar
from llmservice_worker.requests.fields import TOOLS, Name, Part, kind, shape
from llmservice_worker.requests.patterns import check_schema, pattern_size

GRAMMAR_LENGTH: Final = 16 * 1024


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    check_schema(value)
    return value


def _schema_text(value: str) -> str:
    try:
        schema = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("must be a JSON schema, or JSON text of one") from None
    check_schema(schema)
    return value


def _pattern(value: str) -> str:
    pattern_size(value)
    return value


def _grammar(value: str) -> str:
    check_grammar(value)
    return value


Schema = Annotated[dict[str, Any], AfterValidator(_schema)]
SchemaText = Annotated[str, Field(max_length=64 * 1024), AfterValidator(_schema_text)]
_JSON: Final = shape({dict: "<schema>", str: "<text>"}, "must be a JSON schema, or JSON text of one")
Grammar = Annotated[str, Field(min_length=1, max_length=GRAMMAR_LENGTH), AfterValidator(_grammar)]


class Structured(Part):
    """vLLM's structured_outputs: exactly one kind. The backend is the server's choice."""

    json_: Annotated[Annotated[Schema, Tag("<schema>")] | Annotated[SchemaText, Tag("<text>")], _JSON] | None = Field(
        default=None, alias="json"
    )
    regex: Annotated[str, Field(min_length=1), AfterValidator(_pattern)] | None = None
    choice: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=1024)]], Field(min_length=1, max_length=1024)]
        | None
    ) = None
    grammar: Grammar | None = None
    json_object: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Structured":
        kinds = (self.json_, self.regex, self.choice, self.grammar, self.json_object)
        if sum(value is not None for value in kinds) != 1:
            raise ValueError("must hold exactly one of json, regex, choice, grammar, json_object")
        return self


class NamedSchema(Part):
    """The `json_schema` of a response_format."""

    name: Name
    description: str | None = Field(default=None, max_length=4096)
    schema_: Schema | None = Field(default=None, alias="schema")
    strict: bool | None = None


class PlainFormat(Part):
    """`{"type": "text"}` or `{"type": "json_object"}`."""

    type: Literal["text", "json_object"]


class SchemaFormat(Part):
    """`{"type": "json_schema", "json_schema": …}`."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    Annotated[PlainFormat, Tag("<text>")]
    | Annotated[PlainFormat, Tag("<json_object>")]
    | Annotated[SchemaFormat, Tag("<json_schema>")],
    kind("text", "json_object", "json_schema"),
]


class Function(Part):
    """A function that a tool offers."""

    name: Name
    description: str | None = Field(default=None, max_length=16384)
    parameters: Schema | None = None
    strict: bool | None = None


class Tool(Part):
    """A tool of /v1/chat/completions."""

    type: Literal["function"]
    function: Function


class FunctionName(Part):
    """Names a function."""

    name: Name


class NamedTool(Part):
    """A tool_choice that names its tool."""

    type: Literal["function"]
    function: FunctionName


Tools = Annotated[list[Tool], Field(min_length=1, max_length=TOOLS, fail_fast=True)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<text>")] | Annotated[NamedTool, Tag("<tool>")],
    shape({str: "<text>", dict: "<tool>"}, "must be none, auto, required, or name a function"),
]


def compiled(
    structured: Structured | None,
    response_format: PlainFormat | SchemaFormat | None,
    tools: Iterable[dict[str, Any] | None] = (),
) -> Iterable[Any]:
    """What the engine compiles for these: JSON values that are equal where the grammar is."""
    if structured is not None:
        yield structured.model_dump(exclude_none=True)
    if isinstance(response_format, SchemaFormat):
        yield response_format.json_schema.schema_
    yield from (tool for tool in tools if tool is not None)
