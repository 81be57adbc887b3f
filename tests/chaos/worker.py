"""A replica in a process of its own: its real HTTP front and usage layer over an engine that keeps a book.

`python -m tests.chaos.worker <port> <folder> <ledger's URL> <token file>`; SIGTERM ends it in order, then it prints
how many events it says it lost.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from llmservice_worker.access import AccessLog
from llmservice_worker.args import Origin, WorkerArgs
from llmservice_worker.asgi import App, Message
from llmservice_worker.front import Served, front
from llmservice_worker.leaving import TellsLeaving
from llmservice_worker.requests.fields import Limits
from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import Ledger
from llmservice_worker.usage.metered import at_engine
from llmservice_worker.usage.metering import Metering, Recorder
from llmservice_worker.usage.sender import Sender
from llmservice_worker.usage.spool import MIB, Spool
from tests.chaos.engine import Book, Engine, EngineApp

MODEL: Final = "llama"
NAMESPACE: Final = "team-a"
BOOK: Final = "handed-over"
SPOOL: Final = "spool"
_TASKS: Final = ("generate", "embed")


def metered(folder: Path, url: str, token: Path, registry: CollectorRegistry) -> Metering:
    """The replica's metering, with its spool in `folder`."""
    origin = Origin(namespace=NAMESPACE, service=MODEL, revision=f"{MODEL}-0a1b2c")
    args = WorkerArgs(model_id=MODEL, source=f"/models/{MODEL}", tasks=_TASKS, origin=origin)
    figures = UsageFigures(registry, time.monotonic)
    spool, ledger = Spool(folder / SPOOL, 56 * MIB, time.monotonic), Ledger(url, token)
    return Metering(args, Recorder(spool, Sender(spool, ledger, figures), figures), ledger)


def replica(metering: Metering, engine: Engine) -> App:
    """What a replica's process serves, put together as the product's is."""
    metering.watch(engine)
    served = Served((MODEL,), _TASKS, Limits(vocabulary=1000, context=4096), created=1)
    app = front(TellsLeaving(at_engine(EngineApp(engine))), served)
    return metering.around(AccessLog(app, [metering.heard], time.monotonic))


def bridged(app: App) -> web.Application:
    """`app` behind aiohttp's server, which cancels what is done for a client that left, as Ray Serve does."""

    async def serve(request: web.Request) -> web.StreamResponse:
        body, response = [await request.read()], web.StreamResponse()

        async def receive() -> Message:
            if not body:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": body.pop(), "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.set_status(message["status"])
                response.headers.extend((name.decode(), value.decode()) for name, value in message["headers"])
                await response.prepare(request)
                return
            await response.write(message["body"])
            if not message.get("more_body", False):
                await response.write_eof()

        headers = [(name.lower(), value) for name, value in request.raw_headers]
        scope = {"type": "http", "method": request.method, "path": request.path, "query_string": b""}
        await app(scope | {"headers": headers}, receive, send)
        return response

    found = web.Application()
    found.router.add_route("*", "/{tail:.*}", serve)
    return found


@asynccontextmanager
async def serving(app: App, port: int) -> AsyncIterator[None]:
    """Serves `app` on loopback; at the end what is under way may end first."""
    runner = web.AppRunner(bridged(app), access_log=None, handler_cancellation=True, shutdown_timeout=10)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def main(port: int, folder: Path, url: str, token: Path) -> None:
    """Serve until SIGTERM, then send the rest."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    registry = CollectorRegistry()
    metering = metered(folder, url, token, registry)
    metering.start()
    async with serving(replica(metering, Engine(Book(folder / BOOK))), port):
        await stopped.wait()
    await metering.stop()
    print(int(registry.get_sample_value("llmservice_usage_lost_total") or 0))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
