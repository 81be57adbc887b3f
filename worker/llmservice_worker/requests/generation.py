"""/v1/chat/completions and /v1/completions."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, Tag, model_validator

from llmservice_worker.requests import fields as f
from llmservice_worker.requests.content import Messages, media_of
from llmservice_worker.requests.grammar import ResponseFormat, Structured, ToolChoice, Tools, compiled

PROMPTS: Final = 256


class StreamOptions(f.Part):
    """What a stream tells beside the text."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: Literal[False] | None = None


class Sampling(f.Request):
    """What chat and completions share: OpenAI's fields, and vLLM's that change nothing but this answer."""

    frequency_penalty: f.Penalty | None = None
    presence_penalty: f.Penalty | None = None
    repetition_penalty: f.Repetition | None = None
    temperature: f.Temperature | None = None
    top_p: f.TopP | None = None
    top_k: f.TopK | None = None
    min_p: f.MinP | None = None
    n: f.Choices | None = None
    seed: f.Seed | None = None
    stop: (
        Annotated[
            Annotated[f.Word, Tag("<text>")] | Annotated[list[f.Word], Field(max_length=16), Tag("<list>")],
            f.TEXT_OR_LIST,
        ]
        | None
    ) = None
    stop_token_ids: f.FewTokenIds | None = None
    include_stop_str_in_output: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    min_tokens: f.TokensOrNone | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: f.Truncate | None = None
    logit_bias: f.LogitBias | None = None
    allowed_token_ids: f.FewTokenIds | None = None
    bad_words: Annotated[list[f.Word], Field(max_length=64)] | None = None
    prompt_logprobs: f.TopLogprobs | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: Structured | None = None
    cache_salt: f.Salt | None = None
    user: f.Label | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> "Sampling":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        if self.response_format is not None and self.structured_outputs is not None:
            raise ValueError("response_format and structured_outputs are two ways to say one thing: send one")
        return self


class ChatRequest(Sampling):
    """/v1/chat/completions."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
        | {"prompt_cache_retention", "prediction", "modalities", "verbosity"}
    )

    messages: Messages
    max_tokens: f.Tokens | None = None
    max_completion_tokens: f.Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: f.TopLogprobs | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: f.Effort | None = None
    include_reasoning: bool | None = None
    chat_template_kwargs: f.ThinkingKwargs | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    echo: bool | None = None
    metadata: f.Metadata | None = None
    store: Literal[False] | None = None
    service_tier: f.ServiceTier | None = None
    safety_identifier: f.Label | None = None
    prompt_cache_key: f.Label | None = None
    prompt_cache_retention: f.Label | None = None
    prediction: Mapping[str, Any] | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None

    @model_validator(mode="after")
    def _chat_fields_agree(self) -> "ChatRequest":
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if self.tool_choice not in (None, "none") and not self.tools:
            raise ValueError("tool_choice needs tools")
        if self.continue_final_message and self.add_generation_prompt is not False:
            raise ValueError("continue_final_message needs add_generation_prompt to be false")
        return self

    @classmethod
    def media(cls, body: dict[str, Any]) -> Iterable[f.Slot]:
        """URLs in the messages' parts."""
        return media_of(body["messages"])

    def grammars(self) -> Iterable[Any]:
        """Schemas of the answer and of tools."""
        tools = (tool.function.parameters for tool in self.tools or ())
        return compiled(self.structured_outputs, self.response_format, tools)


Prompt = Annotated[
    Annotated[f.Text, Tag("<text>")]
    | Annotated[list[f.Text], Field(max_length=PROMPTS, fail_fast=True), Tag("<texts>")]
    | Annotated[f.TokenIds, Tag("<ids>")]
    | Annotated[list[Annotated[f.TokenIds, Field(min_length=1)]], Field(max_length=PROMPTS), Tag("<lists>")],
    f.PROMPT,
]


class CompletionRequest(Sampling):
    """/v1/completions and the legacy /v1/engines/{engine}/completions."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"user", "suffix", "best_of"})

    prompt: Prompt
    max_tokens: f.TokensOrNone | None = None
    logprobs: f.TopLogprobs | None = None
    echo: bool | None = None
    suffix: Literal[""] | None = None
    best_of: Literal[1] | None = None

    def grammars(self) -> Iterable[Any]:
        """Schemas of the answer."""
        return compiled(self.structured_outputs, self.response_format)
