"""The audio routes: a form with a file; its fields as text, judged as numbers where they are."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_worker.requests import fields as f

FILE_BYTES = 25 * 1024 * 1024


class TranscriptionForm(f.Request):
    """The fields beside `file`; text is read as the number or truth that it says."""

    model_config = ConfigDict(extra="forbid", strict=False, hide_input_in_errors=True)

    language: Annotated[str, Field(pattern=r"^[a-zA-Z]{2,3}$")] | None = None
    prompt: Annotated[str, Field(max_length=8192)] | None = None
    response_format: Literal["json", "text", "verbose_json"] | None = None
    temperature: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    timestamp_granularities: list[Literal["word", "segment"]] = Field(
        default=[], alias="timestamp_granularities[]", max_length=2
    )
    stream: bool | None = None
    stream_include_usage: bool | None = None
    seed: f.Seed | None = None
