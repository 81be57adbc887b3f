"""The replica's public face: only listed routes reach the engine's own HTTP app; models are listed here.

Deny by default: vLLM's app has routes that change or inspect the engine, and its model list names local paths.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from llmservice_worker.args import Task
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.body import ClientGone
from llmservice_worker.errors import Refused, check_method, unknown_model
from llmservice_worker.routes import MODELS, Route, route


class PassOn(Protocol):
    """What a request of a listed route goes through on its way to the engine."""

    async def pass_on(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it; raises Refused, ClientGone."""


class Ingress:
    """An ASGI app before the engine's: created is in seconds since 1970.

    `names`: all that the model answers to now, with the model that each is an adapter of.
    `mounts`: prefix of a path → the app that answers there, such as `/v1/tasks/`.
    """

    def __init__(
        self,
        app: App,
        validation: PassOn,
        names: Callable[[], Mapping[str, str | None]],
        tasks: Sequence[Task],
        created: int,
        max_model_len: int | None = None,
        mounts: Mapping[str, App] | None = None,
    ) -> None:
        self._app = app
        self._validation = validation
        self._names = names
        self._tasks = tasks
        length = {} if max_model_len is None else {"max_model_len": max_model_len}
        self._model = {"object": "model", "created": created, "owned_by": "llmservice", "tasks": list(tasks), **length}
        self._mounts = mounts or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            await self._answer(scope, receive, send)
        except Refused as refused:
            await reply_json(send, refused.status, refused.body, refused.headers)
        except ClientGone:
            return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == MODELS or path.startswith(MODELS + "/"):
            check_method(scope, "GET")
            return await self._models(path.removeprefix(MODELS).removeprefix("/"), path == MODELS, send)
        mounted = next((app for prefix, app in self._mounts.items() if path.startswith(prefix)), None)
        if mounted is not None:
            return await mounted(scope, receive, send)
        found = route(path, self._tasks)
        if found is None:
            raise Refused(404, f"Invalid URL ({scope['method']} {path[:200]})", code="unknown_url")
        check_method(scope, "POST")
        return await self._validation.pass_on(found, scope, receive, send)

    async def _models(self, name: str, all_of_them: bool, send: Send) -> None:
        names = self._names()
        if all_of_them:
            cards = [self._card(known, parent) for known, parent in names.items()]
            return await reply_json(send, 200, _json({"object": "list", "data": cards}))
        if name not in names:
            raise unknown_model(name)
        return await reply_json(send, 200, _json(self._card(name, names[name])))

    def _card(self, name: str, parent: str | None) -> dict[str, Any]:
        return {"id": name, **self._model} if parent is None else {"id": name, **self._model, "parent": parent}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
