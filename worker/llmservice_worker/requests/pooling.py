"""/v1/embeddings, /v1/score, /v1/rerank, /v1/classify."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, Tag, model_validator

from llmservice_worker.requests import fields as f

INPUTS: Final = 2048

Texts = Annotated[list[f.Text], Field(min_length=1, max_length=INPUTS, fail_fast=True)]
TextOrTexts = Annotated[Annotated[f.Text, Tag("<text>")] | Annotated[Texts, Tag("<list>")], f.TEXT_OR_LIST]
Input = Annotated[
    Annotated[f.Text, Tag("<text>")]
    | Annotated[Texts, Tag("<texts>")]
    | Annotated[f.TokenIds, Tag("<ids>")]
    | Annotated[list[Annotated[f.TokenIds, Field(min_length=1)]], Field(max_length=INPUTS), Tag("<lists>")],
    f.PROMPT,
]


class Pooling(f.Request):
    """What all of them share."""

    IGNORED: ClassVar[frozenset[str]] = frozenset({"user", "priority", "return_documents"})

    user: f.Label | None = None
    truncate_prompt_tokens: f.Truncate | None = None
    truncation_side: Literal["left", "right"] | None = None
    use_activation: bool | None = None


class EmbeddingsRequest(Pooling):
    """/v1/embeddings."""

    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=65536)] | None = None
    add_special_tokens: bool | None = None


class Scoring(Pooling):
    """What score and rerank share."""

    max_tokens_per_query: f.TokensOrNone | None = None
    max_tokens_per_doc: f.TokensOrNone | None = None
    instruction: Annotated[str, Field(max_length=8192)] | None = None


class ScoreRequest(Scoring):
    """/v1/score: text_1 with text_2, or queries with documents; one with many, or pairs."""

    text_1: TextOrTexts | None = None
    text_2: TextOrTexts | None = None
    queries: TextOrTexts | None = None
    documents: TextOrTexts | None = None

    @model_validator(mode="after")
    def _one_pair(self) -> "ScoreRequest":
        texts, queries = (self.text_1, self.text_2), (self.queries, self.documents)
        told = [pair for pair in (texts, queries) if pair != (None, None)]
        if len(told) != 1 or None in told[0]:
            raise ValueError("must hold text_1 and text_2, or queries and documents")
        one, other = told[0]
        if isinstance(one, list) and len(one) > 1 and (not isinstance(other, list) or len(one) != len(other)):
            raise ValueError("several first texts need as many second ones")
        return self


class RerankRequest(Scoring):
    """/v1/rerank and Cohere's /v2/rerank."""

    query: f.Text
    documents: Texts
    top_n: Annotated[int, Field(ge=0, le=INPUTS)] | None = None
    return_documents: bool | None = None
    priority: Annotated[int, Field(ge=0, le=999)] | None = None


class ClassifyRequest(Pooling):
    """/v1/classify."""

    input: Input
    add_special_tokens: bool | None = None
