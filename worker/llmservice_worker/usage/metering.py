"""A replica's metering put together: requests → events → spool → ledger."""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from llmservice_worker.args import LEDGER_TOKEN, LEDGER_URL, SPOOL, SPOOL_MIB, WorkerArgs
from llmservice_worker.asgi import App
from llmservice_worker.usage.engine import count_outputs
from llmservice_worker.usage.event import UsageEvent, tokens
from llmservice_worker.usage.figures import UsageFigures
from llmservice_worker.usage.ledger import MOST_EVENTS, Ledger
from llmservice_worker.usage.metered import Metered, current_tally, events
from llmservice_worker.usage.sender import REFUSED_BYTES, Sender
from llmservice_worker.usage.spool import MIB, Spool, SpoolFull

_log = logging.getLogger(__name__)

_MARGIN_BYTES: Final = 4 * MIB
"""The kubelet counts blocks, and evicts a pod whose volume is over its limit."""
_MOST_PENDING: Final = 20_000
"""Events in memory while the disk does not answer."""
_GATHER_S: Final = 0.1
"""How long events gather before they are written: a write to the disk, and a post, cost the same for many."""
_LAST_S: Final = 10.0
"""How long a replica that ends tries to send the rest."""
_COUNT_S: Final = 2.0
"""How long it then looks how much is left."""


class Recorder:
    """Keeps events in the spool as they are made, and has them sent; nothing of it holds a request up."""

    def __init__(self, spool: Spool, sender: Sender, figures: UsageFigures) -> None:
        self._spool = spool
        self._sender = sender
        self._figures = figures
        self._pending: list[bytes] = []
        self._more = asyncio.Event()
        self._ending = False
        self._said = ""
        self._writing: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write and send in the background, first of all what a replica before this one has left."""
        self._writing = asyncio.create_task(self._write())
        self._sending = asyncio.create_task(self._sender.run())

    def record(self, event: UsageEvent) -> None:
        """Take one event."""
        self._figures.made(event)
        if len(self._pending) >= _MOST_PENDING:
            self._lose(1, "the disk does not answer")
            return
        self._pending.append(event.line())
        self._more.set()

    async def stop(self, most_s: float) -> bool:
        """Send what is left, in at most so many seconds; whether all of it is sent. The rest stays in the spool."""
        try:
            await asyncio.wait_for(self._finish(), most_s)
        except TimeoutError:
            await self._tell_unsent()
            return False
        finally:
            self._spool.close()
        return True

    async def _tell_unsent(self) -> None:
        lines = list(self._pending)
        try:
            lines += await asyncio.wait_for(asyncio.to_thread(self._spool.unsent), _COUNT_S)
        except (TimeoutError, OSError) as error:
            _log.error("how many usage events are on disk cannot be told: %s", error or "it does not answer")
        used = tokens(lines)
        self._figures.unsent(len(lines), used)
        _log.error("%d usage events (%d tokens) are not sent and go with the pod: no answer in time", len(lines), used)

    async def _finish(self) -> None:
        self._ending = True
        self._more.set()
        if self._writing is not None:
            await self._writing
        self._sender.finish()
        if self._sending is not None:
            await self._sending

    async def _write(self) -> None:
        while True:
            self._more.clear()
            is_last = self._ending
            await self._append()
            if is_last:
                return
            await self._more.wait()
            if not self._ending:
                await asyncio.sleep(_GATHER_S)

    async def _append(self) -> None:
        while self._pending:
            lines, self._pending = self._pending[:MOST_EVENTS], self._pending[MOST_EVENTS:]
            try:
                await asyncio.to_thread(self._spool.append, lines)
                self._said = ""
            except (SpoolFull, OSError) as error:
                self._lose(len(lines), str(error))
            self._figures.stands(await asyncio.to_thread(self._spool.standing))
            self._sender.wake()

    def _lose(self, count: int, why: str) -> None:
        self._figures.lost(count)
        if why != self._said:  # once, and not ten times a second until a person comes
            _log.error("usage events are lost, %d and maybe more: %s", count, why)
        self._said = why


class Metering:
    """What the replica's app does about usage."""

    def __init__(self, args: WorkerArgs, recorder: Recorder, ledger: Ledger) -> None:
        """`args` have an origin."""
        assert args.origin is not None
        self._recorder = recorder
        self._ledger = ledger
        self.heard = events(args.origin, (args.model_id, *args.aliases), recorder.record)
        """To be told of each request that has ended, within `around`."""

    def watch(self, client: Any) -> None:
        """Count what a new engine's client hands over."""
        count_outputs(client, current_tally)

    def around(self, app: App) -> App:
        """`app`, which tells `heard` of each request, with a tally for each."""
        return Metered(app)

    def start(self) -> None:
        """Begin to send."""
        self._recorder.start()

    async def stop(self) -> None:
        """The replica ends."""
        await self._recorder.stop(_LAST_S)
        await self._ledger.close()


def metering(args: WorkerArgs, env: Mapping[str, str], registry: CollectorRegistry) -> Metering | None:
    """The metering that `args` and the environment ask for; None where no ledger is named."""
    url = env.get(LEDGER_URL)
    if not url or args.origin is None:
        return None
    figures = UsageFigures(registry, time.monotonic)
    spool = Spool(Path(SPOOL), SPOOL_MIB * MIB - REFUSED_BYTES - _MARGIN_BYTES, time.monotonic)
    ledger = Ledger(url, Path(env.get(LEDGER_TOKEN, "")))
    return Metering(args, Recorder(spool, Sender(spool, ledger, figures), figures), ledger)
