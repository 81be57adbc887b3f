"""/v1/responses, without what needs memory on the server: no stored responses, no background, no hosted tools."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Tag, model_validator

from llmservice_worker.requests import fields as f
from llmservice_worker.requests.content import PARTS
from llmservice_worker.requests.grammar import PlainFormat, Schema, Structured

Status = Literal["in_progress", "completed", "incomplete"]


class InputText(f.Part):
    """Text that goes in."""

    type: Literal["input_text"]
    text: f.Text


class OutputText(f.Part):
    """Text that an earlier answer held."""

    type: Literal["output_text"]
    text: f.Text
    annotations: list[Any] | None = Field(default=None, max_length=PARTS)
    logprobs: list[Any] | None = Field(default=None, max_length=f.TEXT)


class InputImage(f.Part):
    """An image: data:, or http(s): on an allowed host."""

    type: Literal["input_image"]
    image_url: f.ImageAddress
    detail: Literal["auto", "low", "high"] | None = None


InputPart = Annotated[
    Annotated[InputText, Tag("<input_text>")]
    | Annotated[OutputText, Tag("<output_text>")]
    | Annotated[InputImage, Tag("<input_image>")],
    f.kind("input_text", "output_text", "input_image"),
]
InputParts = Annotated[list[InputPart], Field(min_length=1, max_length=PARTS, fail_fast=True)]


class Message(f.Part):
    """A message; what an earlier response held under `output` fits too."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[Annotated[f.Text, Tag("<text>")] | Annotated[InputParts, Tag("<list>")], f.TEXT_OR_LIST]
    id: f.Id | None = None
    status: Status | None = None


class FunctionCall(f.Part):
    """A call that an earlier response made."""

    type: Literal["function_call"]
    call_id: f.Id
    name: f.Name
    arguments: f.Text
    id: f.Id | None = None
    status: Status | None = None


class FunctionCallOutput(f.Part):
    """What the application answered to a call."""

    type: Literal["function_call_output"]
    call_id: f.Id
    output: f.Text
    id: f.Id | None = None
    status: Status | None = None


class ReasoningText(f.Part):
    """A piece of reasoning."""

    type: Literal["summary_text", "reasoning_text"]
    text: f.Text


class ReasoningItem(f.Part):
    """The reasoning that an earlier response held."""

    type: Literal["reasoning"]
    id: f.Id | None = None
    summary: list[ReasoningText] = Field(default=[], max_length=PARTS)
    content: list[ReasoningText] | None = Field(default=None, max_length=PARTS)
    encrypted_content: None = None
    status: Status | None = None


Item = Annotated[
    Annotated[Message, Tag("<message>")]
    | Annotated[FunctionCall, Tag("<function_call>")]
    | Annotated[FunctionCallOutput, Tag("<function_call_output>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")],
    f.kind("message", "function_call", "function_call_output", "reasoning", default="message"),
]
Items = Annotated[list[Item], Field(min_length=1, max_length=f.MESSAGES, fail_fast=True)]


class FunctionTool(f.Part):
    """A function that the model may call."""

    type: Literal["function"]
    name: f.Name
    description: str | None = Field(default=None, max_length=16384)
    parameters: Schema | None = None
    strict: bool | None = None


class NamedFunction(f.Part):
    """A tool_choice that names its function."""

    type: Literal["function"]
    name: f.Name


class SchemaFormat(f.Part):
    """JSON of a schema."""

    type: Literal["json_schema"]
    name: f.Name
    description: str | None = Field(default=None, max_length=4096)
    schema_: Schema = Field(alias="schema")
    strict: bool | None = None


class TextConfig(f.Part):
    """The answer's form."""

    format: (
        Annotated[
            Annotated[PlainFormat, Tag("<text>")]
            | Annotated[PlainFormat, Tag("<json_object>")]
            | Annotated[SchemaFormat, Tag("<json_schema>")],
            f.kind("text", "json_object", "json_schema"),
        ]
        | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(f.Part):
    """How long the model thinks."""

    effort: f.Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesRequest(f.Request):
    """/v1/responses."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "background", "stream_options"}
        | {"prompt_cache_retention"}
    )

    input: Annotated[Annotated[f.Text, Tag("<text>")] | Annotated[Items, Tag("<list>")], f.TEXT_OR_LIST]
    instructions: f.Text | None = None
    include: Annotated[list[Literal["message.output_text.logprobs"]], Field(max_length=1)] | None = None
    max_output_tokens: f.Tokens | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    store: Literal[False] | None = None
    stream: bool | None = None
    temperature: f.Temperature | None = None
    text: TextConfig | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag("<text>")] | Annotated[NamedFunction, Tag("<tool>")],
            f.shape({str: "<text>", dict: "<tool>"}, "must be none, auto, required, or name a function"),
        ]
        | None
    ) = None
    tools: Annotated[list[FunctionTool], Field(max_length=f.TOOLS, fail_fast=True)] | None = None
    top_logprobs: f.TopLogprobs | None = None
    top_p: f.TopP | None = None
    top_k: f.TopK | None = None
    truncation: Literal["auto", "disabled"] | None = None
    presence_penalty: f.Penalty | None = None
    frequency_penalty: f.Penalty | None = None
    repetition_penalty: f.Repetition | None = None
    logit_bias: f.LogitBias | None = None
    seed: f.Seed | None = None
    ignore_eos: bool | None = None
    structured_outputs: Structured | None = None
    chat_template_kwargs: f.ThinkingKwargs | None = None
    cache_salt: f.Salt | None = None
    background: Literal[False] | None = None
    metadata: f.Metadata | None = None
    prompt_cache_key: f.Label | None = None
    prompt_cache_retention: f.Label | None = None
    safety_identifier: f.Label | None = None
    service_tier: f.ServiceTier | None = None
    stream_options: dict[Literal["include_obfuscation"], bool] | None = None
    user: f.Label | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> "ResponsesRequest":
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            raise ValueError("tool_choice needs tools")
        return self

    @classmethod
    def media(cls, body: dict[str, Any]) -> Iterable[f.Slot]:
        """URLs of input_image parts."""
        items = body["input"]
        for item in items if isinstance(items, list) else ():
            content = item.get("content")
            for part in content if isinstance(content, list) else ():
                if part["type"] == "input_image":
                    yield part, "image_url"

    def grammars(self) -> Iterable[Any]:
        """Schemas of the answer and of tools."""
        if self.structured_outputs is not None:
            yield self.structured_outputs.model_dump(exclude_none=True)
        if self.text is not None and isinstance(self.text.format, SchemaFormat):
            yield self.text.format.schema_
        yield from (tool.parameters for tool in self.tools or () if tool.parameters is not None)
