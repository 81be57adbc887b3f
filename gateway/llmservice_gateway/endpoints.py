"""The URLs that exist. What is not listed here does not exist, whatever the worker offers."""

from typing import Final

TASKS: Final = ("classify", "summarize", "translate", "answer", "code")
"""Tasks over a chat model."""

AUDIO: Final = "audio/"
"""Under it the body is a form with a file."""

RERANK: Final = "rerank"
"""Under /v1/, and under /v2/ for Cohere's client."""

MESSAGES: Final = ("messages", "messages/count_tokens")
"""Anthropic's: errors have its shape there."""

POSTS: Final = (
    *("chat/completions", "completions", "responses", *MESSAGES),
    *("embeddings", "score", RERANK, "classify", "tokenize", "detokenize"),
    *(f"{AUDIO}{what}" for what in ("transcriptions", "translations")),
    *(f"tasks/{task}" for task in TASKS),
)
"""Under /v1/: passed on to a model, which the body names on the shared URL; which of them it has, the worker says."""

SILENT: Final = (
    *("messages/count_tokens", "embeddings", "score", RERANK, "classify", "tokenize", "detokenize", "tasks/classify"),
)
"""Of them those that never stream, whatever the body asks for."""

ENGINE: Final = "^engines/(?:[A-Za-z0-9._:/-]|%[2-7][0-9A-Fa-f]){1,256}/completions$"
"""Under /v1/, as a regular expression: OpenAI's oldest completions, whose URL names the model."""

MODELS: Final = "models"
"""Under /v1/: GET, answered by the agent, alone or followed by /<id>; an id may hold slashes."""

ORGANIZATION: Final = "^organization/[A-Za-z0-9_/-]+$"
"""Under /v1/, as a regular expression: GET, what was used and what it cost, for Admin keys; the ledger answers."""
