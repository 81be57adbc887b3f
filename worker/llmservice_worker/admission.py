"""How many requests a replica takes at once: what its engine batches and what may wait for that, counted exactly.

Ray Serve's own bound takes requests that arrive together for waiting ones, though nothing is in their way.
"""

import random
from collections.abc import Callable
from typing import Final

from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.errors import RETRY_AFTER_S, error_body

_SPREAD_S: Final = 3
"""Those refused together are told to come back over so many seconds: clients wait exactly as long as they are told."""


class Admission:
    """Wraps `app`: while `most()` requests are under way, another is refused at once (503), its body unread."""

    def __init__(self, app: App, most: Callable[[], int]) -> None:
        self._app = app
        self._most = most
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if self._under_way >= self._most():
            wait = random.randint(RETRY_AFTER_S, RETRY_AFTER_S + _SPREAD_S - 1)
            return await reply_json(send, 503, error_body(503), [(b"retry-after", str(wait).encode())])
        self._under_way += 1
        try:
            return await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
