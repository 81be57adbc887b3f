"""A client that leaves ends its generation, whichever way the app is told.

Ray Serve cancels the task that serves the request. vLLM's handlers listen for `http.disconnect` instead: cancelled,
they leave the generation of an answer that is not streamed running to its end.
"""

import asyncio

from llmservice_worker.asgi import App, Message, Receive, Scope, Send


class TellsLeaving:
    """Wraps `app`: where this is cancelled, the app hears `http.disconnect`, and is cancelled after `patience_s`."""

    def __init__(self, app: App, patience_s: float = 5) -> None:
        self._app = app
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        gone = asyncio.Event()

        async def say(message: Message) -> None:
            if not gone.is_set():
                await send(message)

        serving = asyncio.ensure_future(self._app(scope, _until(gone, receive), say))
        try:
            return await asyncio.shield(serving)
        except asyncio.CancelledError:
            gone.set()
            serving.add_done_callback(_take_note)
            try:
                await asyncio.wait([serving], timeout=self._patience_s)
            finally:  # cancelled again while it waits, too
                serving.cancel()
                await asyncio.wait([serving])
            raise


def _take_note(serving: asyncio.Future[None]) -> None:
    """Nobody is left to hear what the app raises; asyncio would log that it was never retrieved."""
    if not serving.cancelled():
        serving.exception()


def _until(gone: asyncio.Event, receive: Receive) -> Receive:
    """`receive`, or the client's leaving once it is `gone`."""

    async def heard() -> Message:
        message, leaving = asyncio.ensure_future(receive()), asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait([message, leaving], return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else {"type": "http.disconnect"}
        finally:
            message.cancel()
            leaving.cancel()

    return heard
