"""Around the replica's app: a tally for each request while it lasts, and its event when it has ended."""

import uuid
from collections.abc import Callable, Collection
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from llmservice_worker.access import Access, noted_model
from llmservice_worker.args import Origin
from llmservice_worker.asgi import App, Receive, Scope, Send
from llmservice_worker.usage.event import UsageEvent, usage_event
from llmservice_worker.usage.tally import Tally

_CURRENT: Final[ContextVar[Tally | None]] = ContextVar("llmservice_tally", default=None)


def current_tally() -> Tally | None:
    """The tally of the request that is being served; None outside of any, as at warm-up."""
    return _CURRENT.get()


class Metered:
    """Wraps `app`, the access log included: whatever it calls within a request finds the request's tally."""

    def __init__(self, app: App, new_id: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        before = _CURRENT.set(Tally(self._new_id()))
        try:
            return await self._app(scope, receive, send)
        finally:
            _CURRENT.reset(before)


def at_engine(app: App) -> App:
    """The engine's `app`: a request that comes here has passed validation, and will be told of."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        tally = current_tally()
        if tally is not None and scope["type"] == "http":
            tally.model = noted_model(scope)
        await app(scope, receive, send)

    return noted


def events(
    origin: Origin,
    names: Collection[str],
    record: Callable[[UsageEvent], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Callable[[Access], None]:
    """What makes the event of each request that the access log tells of, whoever says that he asks."""

    def heard(access: Access) -> None:
        tally = current_tally()
        if tally is None or tally.model is None:
            return
        record(usage_event(tally, tally.model, access, origin, names, now()))

    return heard
