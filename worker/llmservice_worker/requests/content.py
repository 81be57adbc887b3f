"""Messages of a chat: roles, parts, tool calls."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import Field, Tag, model_validator

from llmservice_worker.requests.fields import (
    MESSAGES,
    TEXT_OR_LIST,
    TOOLS,
    Id,
    ImageAddress,
    Name,
    Part,
    Slot,
    Text,
    kind,
)

PARTS: Final = 256
_URL_PARTS: Final = ("image_url", "audio_url")


class TextPart(Part):
    """Text."""

    type: Literal["text"]
    text: Text


class RefusalPart(Part):
    """What an assistant said in place of an answer."""

    type: Literal["refusal"]
    refusal: Text


class ImageUrl(Part):
    """Where an image is: data:, or http(s): on an allowed host."""

    url: ImageAddress
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Part):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class AudioUrl(Part):
    """Where an audio is: data:, or http(s): on an allowed host."""

    url: Text


class AudioUrlPart(Part):
    """An audio by its URL."""

    type: Literal["audio_url"]
    audio_url: AudioUrl


class AudioData(Part):
    """An audio as base64."""

    data: Text
    format: Literal["wav", "mp3", "flac", "ogg", "m4a", "webm"]


class AudioPart(Part):
    """An audio in the request itself."""

    type: Literal["input_audio"]
    input_audio: AudioData


ContentPart = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[ImagePart, Tag("<image_url>")]
    | Annotated[AudioUrlPart, Tag("<audio_url>")]
    | Annotated[AudioPart, Tag("<input_audio>")],
    kind("text", "refusal", "image_url", "audio_url", "input_audio"),
]
Parts = Annotated[list[ContentPart], Field(min_length=1, max_length=PARTS, fail_fast=True)]
Content = Annotated[Annotated[Text, Tag("<text>")] | Annotated[Parts, Tag("<list>")], TEXT_OR_LIST]


class CalledFunction(Part):
    """What an assistant called, its arguments as JSON text."""

    name: Name
    arguments: Text


class ToolCall(Part):
    """A tool call of an assistant's message."""

    id: Id
    type: Literal["function"]
    function: CalledFunction
    index: int | None = None


class ChatMessage(Part):
    """A message; which fields must be there depends on the role."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Annotated[str, Field(max_length=256)] | None = None
    refusal: Text | None = None
    reasoning: Text | None = None
    reasoning_content: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=TOOLS, fail_fast=True)] | None = None
    tool_call_id: Id | None = None
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = Field(default=None, max_length=PARTS)

    @model_validator(mode="after")
    def _has_what_its_role_needs(self) -> "ChatMessage":
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role tool needs tool_call_id")
        if self.content is None and not (self.role == "assistant" and (self.tool_calls or self.refusal)):
            raise ValueError(f"a message of role {self.role} needs content")
        return self


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MESSAGES, fail_fast=True)]


def media_of(messages: list[dict[str, Any]]) -> Iterable[Slot]:
    """Where valid messages hold URLs."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part["type"] in _URL_PARTS:
                yield part[part["type"]], "url"
