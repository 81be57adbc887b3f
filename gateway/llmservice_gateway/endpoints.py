"""The URLs that exist. What is not listed here does not exist, whatever the worker offers."""

from typing import Final

POSTS: Final = ("chat/completions", "completions", "embeddings", "score", "rerank")
"""Under /v1/: passed on to a model, which the body names on the shared URL."""

MODELS: Final = "models"
"""Under /v1/: GET, answered by the agent, alone or followed by /<id>; an id may hold slashes."""
