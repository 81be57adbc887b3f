"""Types and ranges that several routes share, and what they are judged against."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, ValidationInfo

INT64: Final = 2**63 - 1
TEXT: Final = 8 * 1024 * 1024
MESSAGES: Final = 2048
TOOLS: Final = 128


@dataclass(frozen=True)
class Limits:
    """What the engine's model can take: the size of its vocabulary, and its context in tokens (None: not known)."""

    vocabulary: int
    context: int | None = None


class Part(BaseModel):
    """A part of a request: no field beside the listed ones, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


Slot = tuple[dict[str, Any], str]
"""A place in a body that holds a URL of an image or audio: the object and the key in it."""


class Request(Part):
    """The body of a route. Fields in `IGNORED` are judged, then dropped: clients send them, vLLM knows them not."""

    IGNORED: ClassVar[frozenset[str]] = frozenset()

    model: str = Field(min_length=1, max_length=10_240)

    @classmethod
    def media(cls, body: dict[str, Any]) -> Iterable[Slot]:  # noqa: ARG003 - most routes take none
        """Where a valid body holds URLs of images and audios."""
        return ()

    def grammars(self) -> Iterable[Any]:
        """What the engine would compile for this request: schemas, patterns, grammars (JSON values)."""
        return ()


def shape(names: Mapping[type, str], message: str) -> Discriminator:
    """Chooses a branch of a union by the value's own type; a tag in `<>` is left out of errors' paths."""
    return Discriminator(lambda value: names.get(type(value)), custom_error_type="shape", custom_error_message=message)


def kind(*kinds: str, by: str = "type", default: str | None = None) -> Discriminator:
    """Chooses a branch of a union by an object's field `by`."""

    def chosen(value: Any) -> str | None:
        found = value.get(by, default) if isinstance(value, dict) else None
        return f"<{found}>" if isinstance(found, str) and found in kinds else None

    message = f"'{by}' must be one of {', '.join(kinds)}"
    return Discriminator(chosen, custom_error_type="kind", custom_error_message=message)


TEXT_OR_LIST: Final = shape({str: "<text>", list: "<list>"}, "must be a string or an array")


def _prompt_shape(value: Any) -> str | None:
    if isinstance(value, str):
        return "<text>"
    first = value[0] if isinstance(value, list) and value else None
    return {str: "<texts>", int: "<ids>", list: "<lists>"}.get(type(first))


PROMPT: Final = Discriminator(
    _prompt_shape,
    custom_error_type="shape",
    custom_error_message="must be a string, or a non-empty array of strings, token ids or arrays of token ids",
)
"""Chooses among `<text>`, `<texts>`, `<ids>`, `<lists>` by the first item."""


def _within(what: Callable[[Any], Iterable[int]]) -> AfterValidator:
    def check(value: Any, info: ValidationInfo) -> Any:
        limits = info.context
        assert isinstance(limits, Limits)
        ids = what(value)
        if any(token < 0 or token >= limits.vocabulary for token in ids):
            raise ValueError(f"a token id is not within the vocabulary (0 to {limits.vocabulary - 1})")
        return value

    return AfterValidator(check)


def _keys(bias: dict[str, float]) -> Iterable[int]:
    return [int(token) if token.isascii() and token.isdecimal() and len(token) <= 10 else -1 for token in bias]


Text = Annotated[str, Field(max_length=TEXT)]


def _is_no_audio(url: str) -> str:
    """An image that says to be an audio would not be held to an image's bounds."""
    if url[:11].lower() == "data:audio/":
        raise ValueError("must be an image")
    return url


ImageAddress = Annotated[Text, AfterValidator(_is_no_audio)]
"""Where an image is: data:, or http(s): on an allowed host."""
Word = Annotated[str, Field(min_length=1, max_length=256)]
Id = Annotated[str, Field(min_length=1, max_length=256)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$", max_length=128)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
TopP = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
MinP = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=-1, le=1_000_000)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Repetition = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]
Choices = Annotated[int, Field(ge=1, le=16)]
Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokensOrNone = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=-INT64 - 1, le=INT64)]
TopLogprobs = Annotated[int, Field(ge=0, le=20)]
TokenIds = Annotated[list[int], Field(max_length=1_000_000, fail_fast=True), _within(lambda ids: ids)]
FewTokenIds = Annotated[list[int], Field(max_length=1024, fail_fast=True), _within(lambda ids: ids)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
LogitBias = Annotated[dict[str, Bias], Field(max_length=1024), _within(_keys)]
Salt = Annotated[str, Field(min_length=1, max_length=256)]
Truncate = Annotated[int, Field(ge=-1, le=2**31 - 1)]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Label = Annotated[str, Field(max_length=512)]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class ThinkingKwargs(Part):
    """What a request may tell the chat template: whether the model thinks first. Templates are the operator's."""

    enable_thinking: bool | None = None
    thinking: bool | None = None
