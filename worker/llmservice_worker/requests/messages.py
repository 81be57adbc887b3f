"""/v1/messages and /v1/messages/count_tokens: Anthropic's shape."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Tag

from llmservice_worker.requests import fields as f
from llmservice_worker.requests.content import PARTS
from llmservice_worker.requests.grammar import Schema

Temperature = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class CacheControl(f.Part):
    """Where a client would have its prefix cached; the engine caches prefixes anyway."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Block(f.Part):
    """What all blocks may hold."""

    cache_control: CacheControl | None = None


class TextBlock(Block):
    """Text."""

    type: Literal["text"]
    text: f.Text
    citations: list[Any] | None = Field(default=None, max_length=PARTS)


class Base64Source(f.Part):
    """An image in the request."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: f.Text


class UrlSource(f.Part):
    """An image on an allowed host."""

    type: Literal["url"]
    url: f.ImageAddress


class ImageBlock(Block):
    """An image."""

    type: Literal["image"]
    source: Annotated[
        Annotated[Base64Source, Tag("<base64>")] | Annotated[UrlSource, Tag("<url>")], f.kind("base64", "url")
    ]


class ToolUseBlock(Block):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: f.Id
    name: f.Name
    input: dict[str, Any]


ResultPart = Annotated[
    Annotated[TextBlock, Tag("<text>")] | Annotated[ImageBlock, Tag("<image>")], f.kind("text", "image")
]


class ToolResultBlock(Block):
    """What the application answered to a call."""

    type: Literal["tool_result"]
    tool_use_id: f.Id
    content: (
        Annotated[
            Annotated[f.Text, Tag("<text>")] | Annotated[list[ResultPart], Field(max_length=PARTS), Tag("<list>")],
            f.TEXT_OR_LIST,
        ]
        | None
    ) = None
    is_error: bool | None = None


class ThinkingBlock(Block):
    """What the model thought."""

    type: Literal["thinking"]
    thinking: f.Text
    signature: f.Text | None = None


class RedactedThinkingBlock(Block):
    """What a model thought, unreadable."""

    type: Literal["redacted_thinking"]
    data: f.Text


ContentBlock = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[RedactedThinkingBlock, Tag("<redacted_thinking>")],
    f.kind("text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"),
]
Blocks = Annotated[list[ContentBlock], Field(min_length=1, max_length=PARTS, fail_fast=True)]


class Message(f.Part):
    """A message."""

    role: Literal["user", "assistant"]
    content: Annotated[Annotated[f.Text, Tag("<text>")] | Annotated[Blocks, Tag("<list>")], f.TEXT_OR_LIST]


class Tool(f.Part):
    """A tool of the application."""

    name: f.Name
    description: str | None = Field(default=None, max_length=16384)
    input_schema: Schema
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoice(f.Part):
    """Whether and which tool is called."""

    type: Literal["auto", "any", "tool", "none"]
    name: f.Name | None = None
    disable_parallel_tool_use: bool | None = None


System = Annotated[
    Annotated[f.Text, Tag("<text>")] | Annotated[list[TextBlock], Field(max_length=PARTS), Tag("<list>")],
    f.TEXT_OR_LIST,
]


class CountTokensRequest(f.Request):
    """/v1/messages/count_tokens."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"metadata", "thinking", "service_tier", "cache_control"})

    messages: Annotated[list[Message], Field(min_length=1, max_length=f.MESSAGES, fail_fast=True)]
    system: System | None = None
    tools: Annotated[list[Tool], Field(max_length=f.TOOLS, fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: dict[str, Any] | None = Field(default=None, max_length=4)
    cache_control: CacheControl | None = None

    @classmethod
    def media(cls, body: dict[str, Any]) -> Iterable[f.Slot]:
        """URLs of images in messages and in tool results."""
        for message in body["messages"]:
            yield from _sources(message["content"])


def _sources(content: Any) -> Iterable[f.Slot]:
    for block in content if isinstance(content, list) else ():
        if block["type"] == "image" and block["source"]["type"] == "url":
            yield block["source"], "url"
        elif block["type"] == "tool_result":
            yield from _sources(block.get("content"))


class OutputFormat(f.Part):
    """JSON of a schema."""

    type: Literal["json_schema"]
    schema_: Schema = Field(alias="schema")


class OutputConfig(f.Part):
    """The answer's form, and how hard the model tries."""

    format: OutputFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class MessagesRequest(CountTokensRequest):
    """/v1/messages."""

    max_tokens: f.Tokens
    stop_sequences: Annotated[list[f.Word], Field(max_length=16)] | None = None
    stream: bool | None = None
    temperature: Temperature | None = None
    top_k: f.TopK | None = None
    top_p: f.TopP | None = None
    output_config: OutputConfig | None = None
    metadata: dict[Literal["user_id"], str | None] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_salt: f.Salt | None = None
    chat_template_kwargs: f.ThinkingKwargs | None = None

    def grammars(self) -> Iterable[Any]:
        """Schemas of the answer and of tools."""
        if self.output_config is not None and self.output_config.format is not None:
            yield self.output_config.format.schema_
        yield from (tool.input_schema for tool in self.tools or ())
