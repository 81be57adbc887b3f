"""The replica's public face: only listed routes reach the engine's own HTTP app; models are listed here.

Deny by default: vLLM's app has routes that change or inspect the engine, and its model list names local paths.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.errors import error_body

_MODELS: Final = "/v1/models"
ROUTES: Final[Mapping[str, str]] = {"/v1/chat/completions": "POST", "/v1/completions": "POST"}
"""Path → method of what the engine's app answers."""


class Ingress:
    """An ASGI app before the engine's: names are the model's id and aliases, created is in seconds since 1970."""

    def __init__(self, app: App, names: Sequence[str], created: int, max_model_len: int | None = None) -> None:
        self._app = app
        self._cards = {name: _card(name, created, max_model_len) for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        method, path = scope["method"], scope["path"]
        wanted = "GET" if path == _MODELS or path.startswith(_MODELS + "/") else ROUTES.get(path)
        if wanted is None:
            return await reply_json(
                send, 404, error_body(404, f"Invalid URL ({method} {path[:200]})", code="unknown_url")
            )
        if method != wanted:
            body = error_body(405, f"Not allowed to {method} on {path[:200]}: use {wanted}.")
            return await reply_json(send, 405, body, [(b"allow", wanted.encode())])
        if wanted == "POST":
            return await self._app(scope, receive, send)
        return await self._models(path.removeprefix(_MODELS).removeprefix("/"), path == _MODELS, send)

    async def _models(self, name: str, all_of_them: bool, send: Send) -> None:
        if all_of_them:
            return await reply_json(send, 200, _json({"object": "list", "data": list(self._cards.values())}))
        card = self._cards.get(name)
        if card is None:
            body = error_body(404, f"The model '{name[:128]}' does not exist.", "model", "model_not_found")
            return await reply_json(send, 404, body)
        return await reply_json(send, 200, _json(card))


def _card(name: str, created: int, max_model_len: int | None) -> dict[str, Any]:
    card = {"id": name, "object": "model", "created": created, "owned_by": "llmservice"}
    return card if max_model_len is None else {**card, "max_model_len": max_model_len}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
