"""What each key used in the minutes that limits speak of: tokens in all, and requests by gateway."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

KEPT: Final = 2
"""Minutes that are kept: a gateway's clock may be a little behind, or ahead."""


@dataclass(frozen=True)
class Use:
    """What a key used in a minute (counted since 1970), as one gateway is told: requests are those elsewhere."""

    minute: int
    requests: int
    tokens: int


class Counts:
    """Counts by key and minute. Bounded by the keys that were used in the last minutes."""

    def __init__(self) -> None:
        self._tokens: Counter[tuple[int, str]] = Counter()
        self._requests: dict[tuple[int, str], dict[str, int]] = {}

    def add_tokens(self, key_id: str, minute: int, tokens: int) -> None:
        """Adds tokens that an event used."""
        self._tokens[minute, key_id] += tokens

    def forget_tokens(self) -> None:
        """Forgets tokens, before they are added anew."""
        self._tokens.clear()

    def report(self, gateway: str, key_id: str, minute: int, requests: int) -> None:
        """What a gateway counted of a minute until now; its counts only grow."""
        of_key = self._requests.setdefault((minute, key_id), {})
        of_key[gateway] = max(requests, of_key.get(gateway, 0))

    def forget(self, now: int) -> None:
        """Drops what is older than the minute before `now`, and what claims to be of a time to come."""
        kept = range(now - KEPT + 1, now + KEPT)
        self._tokens = Counter({place: count for place, count in self._tokens.items() if place[0] in kept})
        self._requests = {place: of_key for place, of_key in self._requests.items() if place[0] in kept}

    def for_gateway(self, gateway: str, now: int) -> dict[str, Use]:
        """Each key's newest minute; one that a clock ahead of ours speaks of is told once it is here."""
        newest: dict[str, int] = {}
        for minute, key_id in (*self._tokens, *self._requests):
            if minute <= now:
                newest[key_id] = max(minute, newest.get(key_id, 0))
        return {key_id: self._use(gateway, key_id, minute) for key_id, minute in newest.items()}

    def _use(self, gateway: str, key_id: str, minute: int) -> Use:
        of_key = self._requests.get((minute, key_id), {})
        elsewhere = sum(count for name, count in of_key.items() if name != gateway)
        return Use(minute, elsewhere, self._tokens[minute, key_id])
