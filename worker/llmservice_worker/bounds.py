"""What is remembered per key, in bounded memory: grammars of the last minute, idempotency keys of the last day."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from llmservice_worker.body import digest
from llmservice_worker.errors import Refused

GRAMMARS_A_MINUTE: Final = 60
_WINDOW_S: Final = 60.0
_KEYS: Final = 4096
_DAY_S: Final = 86_400.0
_REQUESTS: Final = 16_384

Clock = Callable[[], float]


class DistinctGrammars:
    """How many different grammars a key had compiled in the last minute: each costs the engine's CPU and memory."""

    def __init__(self, clock: Clock, most: int = GRAMMARS_A_MINUTE) -> None:
        self._clock = clock
        self._most = most
        self._seen: OrderedDict[str, OrderedDict[bytes, float]] = OrderedDict()

    def admit(self, key: str, grammar: bytes) -> None:
        """Count `grammar` (its digest) for `key`; raises Refused (429) where it is one too many."""
        now = self._clock()
        seen = self._seen.setdefault(key, OrderedDict())
        self._seen.move_to_end(key)
        while len(self._seen) > _KEYS:
            self._seen.popitem(last=False)
        while seen and next(iter(seen.values())) <= now - _WINDOW_S:
            seen.popitem(last=False)
        if grammar not in seen and len(seen) >= self._most:
            wait = str(max(1, int(next(iter(seen.values())) + _WINDOW_S - now) + 1)).encode()
            message = f"Too many different schemas or patterns: at most {self._most} a minute and key."
            raise Refused(429, message, headers=[(b"retry-after", wait)])
        seen[grammar] = now
        seen.move_to_end(grammar)


class IdempotencyKeys:
    """Which request each Idempotency-Key of the last day stood for, in this replica."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, bytes], tuple[bytes, float]] = OrderedDict()

    def admit(self, key: str, named: bytes, path: str, body: bytes) -> None:
        """Remember the request; raises Refused: 409 where `named` stood for another one, 400 where it is too long."""
        if len(named) > 255:
            raise Refused(400, "The Idempotency-Key may have at most 255 characters.")
        now, wanted = self._clock(), digest(path.encode(), body)
        while self._seen and (len(self._seen) >= _REQUESTS or next(iter(self._seen.values()))[1] <= now - _DAY_S):
            self._seen.popitem(last=False)
        known, _ = self._seen.setdefault((key, named), (wanted, now))
        if known != wanted:
            message = "The Idempotency-Key was used for another request: take a new one for a new body."
            raise Refused(409, message, headers=[(b"x-should-retry", b"false")])
