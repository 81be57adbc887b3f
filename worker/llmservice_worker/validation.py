"""From a client's request to the one that the engine sees: judged against the route's schema, normalised, bounded.

The only place where the meaning of a body is judged. The engine gets the fields that were listed and no others.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from llmservice_worker import body as bodies
from llmservice_worker import multipart
from llmservice_worker.access import KEY_ID, note_model
from llmservice_worker.asgi import App, Receive, Scope, Send, header
from llmservice_worker.bounds import DistinctGrammars, IdempotencyKeys
from llmservice_worker.media import Media
from llmservice_worker.requests.fields import Limits, Request
from llmservice_worker.requests.judge import judged
from llmservice_worker.requests.transcription import FILE_BYTES, TranscriptionForm
from llmservice_worker.routes import Route, engine_named
from llmservice_worker.transcripts import in_openais_shape

_BODY_HEADERS: Final = (b"content-length", b"content-type", b"transfer-encoding", b"content-encoding")
_CONVERSATIONS: Final = ("messages", "input", "system")


class Validation:
    """Passes valid requests on to `app`; raises Refused for others, ClientGone where the client leaves.

    `ensure` returns once a model of that name answers, and raises Refused where none does.
    """

    def __init__(
        self,
        app: App,
        ensure: Callable[[str], Awaitable[None]],
        limits: Limits,
        media: Media,
        grammars: DistinctGrammars,
        idempotency: IdempotencyKeys,
    ) -> None:
        self._app = app
        self._ensure = ensure
        self._limits = limits
        self._media = media
        self._grammars = grammars
        self._idempotency = idempotency

    async def pass_on(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of `route`."""
        prepare = self._form if route.body == "form" else self._json
        raw, content_type, request = await prepare(route, scope, receive)
        headers = [pair for pair in scope["headers"] if pair[0].lower() not in _BODY_HEADERS]
        headers += [(b"content-type", content_type), (b"content-length", str(len(raw)).encode())]
        inner = {**scope, "path": route.upstream, "raw_path": route.upstream.encode(), "headers": headers}
        answer = in_openais_shape(send, request) if isinstance(request, TranscriptionForm) else send
        await self._app(inner, bodies.replay(raw, receive), answer)

    async def _json(self, route: Route, scope: Scope, receive: Receive) -> tuple[bytes, bytes, Request]:
        bodies.check_headers(scope["headers"], b"application/json", bodies.JSON_BYTES)
        raw = await bodies.read(receive, bodies.JSON_BYTES)
        body = bodies.parsed(raw)
        engine = engine_named(scope["path"])
        if engine is not None:
            body["model"] = engine
        request = judged(route.request, body, self._limits)
        bodies.check_duplicates(raw)
        await self._find(request.model, scope)
        key = header(scope["headers"], KEY_ID).decode("latin-1")
        self._admit(key, scope, raw, request)
        await self._media.inlined(list(route.request.media(body)))
        return bodies.dumped(normalised(route, body, key)), b"application/json", request

    async def _form(self, route: Route, scope: Scope, receive: Receive) -> tuple[bytes, bytes, Request]:
        bodies.check_headers(scope["headers"], b"multipart/form-data", FILE_BYTES)
        raw = await bodies.read(receive, FILE_BYTES)
        request = judged(route.request, dict(multipart.fields(scope["headers"], raw)), self._limits)
        await self._find(request.model, scope)
        self._admit(header(scope["headers"], KEY_ID).decode("latin-1"), scope, raw, request)
        return raw, header(scope["headers"], b"content-type"), request

    async def _find(self, model: str, scope: Scope) -> None:
        await self._ensure(model)
        note_model(scope, model)

    def _admit(self, key: str, scope: Scope, raw: bytes, request: Request) -> None:
        named = header(scope["headers"], b"idempotency-key")
        if named:
            self._idempotency.admit(key, named, scope["path"], raw)
        for grammar in request.grammars():
            self._grammars.admit(key, bodies.digest(bodies.dumped({"": grammar})))


def normalised(route: Route, body: dict[str, Any], key: str) -> dict[str, Any]:
    """A valid `body` as the engine gets it: no nulls, nothing that it does not know, its cache apart by `key`.

    Why a salt: with a cache of prefixes in common, the time to the first token tells what another key has sent. Those
    without a key (access Open) share one cache, and no salt of theirs is that of a key.
    """
    kept = {
        name: _without_nulls(value) if name in _CONVERSATIONS else value
        for name, value in body.items()
        if value is not None and name not in route.request.IGNORED
    }
    if route.salted and (key or "cache_salt" in kept):
        kept["cache_salt"] = f"{key}:{kept.get('cache_salt', '')}"
    return kept


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if item is not None}
    if kept.get("type") == "tool_use":
        return kept
    return {name: _without_nulls(item) for name, item in kept.items()}
