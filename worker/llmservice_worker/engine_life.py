"""The life of a replica's engine: it may end and be started again in place, a few times, while the replica stays.

    Ready ── died or hung ──► Restarting ── warm again ──► Ready
                                  │
                                  └── too often, or it does not start ──► Failed: Ray Serve replaces the replica

A new engine in the old process is there in a fraction of the time: its imports, tokenizer and HTTP app are loaded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Literal

_log = logging.getLogger("ray.serve")

MOST_RESTARTS: Final = 3
WITHIN_S: Final = 600.0

State = Literal["Ready", "Restarting", "Failed"]


class EngineAway(RuntimeError):
    """The replica has no engine at this moment; the message says why."""


def may_restart(earlier: list[float], now: float) -> bool:
    """Whether an engine may be started again in place, after restarts at the instants `earlier`."""
    return sum(now - instant < WITHIN_S for instant in earlier) < MOST_RESTARTS


class EngineLife:
    """State and reason of one replica's engine."""

    def __init__(self, restart: Callable[[], Awaitable[None]], clock: Callable[[], float]) -> None:
        """`restart` returns when a new engine is warm; `clock` in seconds."""
        self._restart = restart
        self._clock = clock
        self._restarts: list[float] = []
        self._state: State = "Ready"
        self._reason = ""
        self._away_is_told = False
        self._back = asyncio.Event()
        self._back.set()

    @property
    def is_ready(self) -> bool:
        """Whether requests may go to the engine."""
        return self._state == "Ready"

    def report(self) -> dict[str, str]:
        """State and reason as `/state` shows them; the reason of the last restart stays."""
        return {"state": self._state, "reason": self._reason}

    async def check_health(self) -> None:
        """Ray Serve's health check. Raises EngineAway once when the engine is away, then waits until it is back.

        Ray Serve takes a replica out of its proxies at the first failure and replaces it at the third in a row, so the
        time-outs of the checks that wait bound a restart.
        """
        if self.is_ready:
            return
        if not self._away_is_told:
            self._away_is_told = True
            raise EngineAway(self._reason)
        await self._back.wait()

    async def run(self, ended: Callable[[], Awaitable[str]]) -> str:
        """Restart the engine whenever `ended` returns why it ended; returns why no further restart is tried."""
        while True:
            self._leave("Restarting", await ended())
            now = self._clock()
            if not may_restart(self._restarts, now):
                break
            self._restarts.append(now)
            try:
                await self._restart()
            except Exception as error:  # noqa: BLE001 - whatever it is, the replica ends and says it
                _log.exception("the engine did not start again")
                self._reason = f"{self._reason}; then it did not start again: {type(error).__name__}"
                break
            _log.info("the engine is back after %.1f s", self._clock() - now)
            self._state = "Ready"
            self._back.set()
        self._leave("Failed", self._reason)
        return self._reason

    def _leave(self, state: State, reason: str) -> None:
        _log.error("engine: %s: %s", state, reason)
        self._state, self._reason = state, reason
        self._away_is_told = False
        self._back.clear()
