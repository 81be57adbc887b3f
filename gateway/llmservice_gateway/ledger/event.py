"""A usage event as workers send it, and what is wrong with one that is refused."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

MOST_EVENTS: Final = 500
MOST_BYTES: Final = 2**20
MOST_TOKENS: Final = 10**8
"""Of one event; no engine takes as many, and sums of costs stay within 64 bits."""
_LONGEST_MS: Final = 10**12

# Printable: PostgreSQL stores no NUL, and reports are read in terminals and sheets.
Text = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Name = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Namespace = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
KeyId = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Milliseconds = Annotated[int, Field(ge=0, le=_LONGEST_MS)]


def _is_rfc3339(value: Any) -> Any:
    """Numbers would be taken for times too, and a date without a time for midnight."""
    if not isinstance(value, str) or "T" not in value.upper():
        raise PydanticCustomError("rfc3339", "Input should be an instant such as 2026-11-23T04:00:00.000Z")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_is_rfc3339), Field(strict=False)]


class Event(BaseModel):
    """One request to a model; the names are the ledger's columns."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    time: Instant
    request_id: Text
    key_id: KeyId
    namespace: Namespace
    service: Name
    revision: Name
    model: Text
    adapter: Text | None
    route: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9_/.-]*$")]
    prompt_tokens: Tokens
    cached_tokens: Tokens
    completion_tokens: Tokens
    outcome: Literal["completed", "client_left", "error"]
    status: Annotated[int, Field(ge=100, le=599)] | None
    stream: bool
    duration_ms: Milliseconds
    ttft_ms: Milliseconds | None

    @property
    def at(self) -> int:
        """Its time, in ms since 1970."""
        return _milliseconds(self.time)

    @model_validator(mode="after")
    def _cached_is_part_of_prompt(self) -> "Event":
        if self.cached_tokens > self.prompt_tokens:
            raise PydanticCustomError(
                "cached_tokens", "cached_tokens is more than prompt_tokens, which it is a part of"
            )
        return self


class _Post(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    events: Annotated[list[Event], Field(max_length=MOST_EVENTS)]


class Refused(Exception):
    """A post that is not stored: `param` is the first thing that is wrong, such as `events[3].model`.

    `forbidden`: it is well-formed, but not the sender's to say.
    """

    def __init__(self, message: str, param: str | None = None, forbidden: bool = False) -> None:
        super().__init__(message)
        self.param = param
        self.forbidden = forbidden


def parse(body: bytes) -> list[Event]:
    """The events of a post; raises Refused."""
    try:
        return _Post.model_validate_json(body).events
    except ValidationError as error:
        raise refusal(error) from None


def refusal(error: ValidationError) -> Refused:
    """The first fault, without the value that was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")[:200]
    message = f"{path or 'body'}: {first['msg']}"[:500]
    return Refused(message, path or None)


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
