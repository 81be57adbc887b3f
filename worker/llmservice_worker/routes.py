"""The table of routes: path → method, the tasks that it exists for, the engine's path, the schema of its body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from llmservice_worker.args import Task
from llmservice_worker.requests.fields import Request
from llmservice_worker.requests.generation import ChatRequest, CompletionRequest
from llmservice_worker.requests.messages import CountTokensRequest, MessagesRequest
from llmservice_worker.requests.pooling import ClassifyRequest, EmbeddingsRequest, RerankRequest, ScoreRequest
from llmservice_worker.requests.responses import ResponsesRequest
from llmservice_worker.requests.tokens import DetokenizeRequest, TokenizeRequest
from llmservice_worker.requests.transcription import TranscriptionForm

_ALL: Final[tuple[Task, ...]] = ("generate", "embed", "score", "classify", "transcribe")
_ENGINES: Final = "/v1/engines/"
_COMPLETIONS: Final = "/completions"
_AUDIO: Final = ("/v1/audio/transcriptions", "/v1/audio/translations")


@dataclass(frozen=True)
class Route:
    """A route of the engine's. `salted`: it reads the cache of prompts, which no key may feel another's use of."""

    request: type[Request]
    upstream: str
    tasks: tuple[Task, ...]
    body: Literal["json", "form"] = "json"
    salted: bool = False


_GENERATE: Final[tuple[Task, ...]] = ("generate",)
_RERANK: Final = Route(RerankRequest, "/v1/rerank", ("score",))
_TOKENIZE: Final = Route(TokenizeRequest, "/tokenize", _ALL)
_DETOKENIZE: Final = Route(DetokenizeRequest, "/detokenize", _ALL)
_CLASSIFY: Final = Route(ClassifyRequest, "/classify", ("classify",))

ROUTES: Final[Mapping[str, Route]] = {
    "/v1/chat/completions": Route(ChatRequest, "/v1/chat/completions", _GENERATE, salted=True),
    "/v1/completions": Route(CompletionRequest, "/v1/completions", _GENERATE, salted=True),
    "/v1/responses": Route(ResponsesRequest, "/v1/responses", _GENERATE, salted=True),
    "/v1/messages": Route(MessagesRequest, "/v1/messages", _GENERATE, salted=True),
    "/v1/messages/count_tokens": Route(CountTokensRequest, "/v1/messages/count_tokens", _GENERATE),
    "/v1/embeddings": Route(EmbeddingsRequest, "/v1/embeddings", ("embed",)),
    "/v1/score": Route(ScoreRequest, "/score", ("score",)),
    "/v1/rerank": _RERANK,
    "/v2/rerank": _RERANK,
    "/v1/classify": _CLASSIFY,
    "/classify": _CLASSIFY,
    **{path: Route(TranscriptionForm, path, ("transcribe",), body="form") for path in _AUDIO},
    "/tokenize": _TOKENIZE,
    "/v1/tokenize": _TOKENIZE,
    "/detokenize": _DETOKENIZE,
    "/v1/detokenize": _DETOKENIZE,
}
"""All are POST. Those outside /v1 are for callers inside the cluster: the gateway does not know them."""

MODELS: Final = "/v1/models"
PATHS: Final = frozenset(ROUTES) | {MODELS}
"""What figures tell apart; any other path is one."""


def route(path: str, tasks: Sequence[Task]) -> Route | None:
    """The route at `path` of a model with `tasks`; None where there is none."""
    found = ROUTES["/v1/completions"] if engine_named(path) is not None else ROUTES.get(path)
    return found if found is not None and not set(found.tasks).isdisjoint(tasks) else None


def engine_named(path: str) -> str | None:
    """The engine of the legacy `/v1/engines/{engine}/completions`, which may hold `/`; None for other paths."""
    if not (path.startswith(_ENGINES) and path.endswith(_COMPLETIONS)):
        return None
    return path[len(_ENGINES) : -len(_COMPLETIONS)] or None
