"""Who sends a request: the ServiceAccount of its token, asked of the cluster and remembered for a while."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

REMEMBERED: Final = 60.0
"""Seconds that a token counts as valid after the cluster said so."""
_REFUSED: Final = 10.0
_MOST: Final = 4096


@dataclass(frozen=True)
class Identity:
    """A ServiceAccount."""

    namespace: str
    account: str


class IdentitiesUnknown(Exception):
    """The cluster does not say whose a token is, now."""


class Identities(Protocol):
    """Says whose tokens are."""

    async def of(self, token: str) -> Identity | None:
        """Whose token it is, None where it is no valid one for this audience; raises IdentitiesUnknown."""


class Remembered:
    """Asks `identities` once for each token; `clock` is in seconds. Keeps hashes, no tokens."""

    def __init__(self, identities: Identities, clock: Callable[[], float]) -> None:
        self._identities = identities
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Identity | None]] = OrderedDict()

    async def of(self, token: str) -> Identity | None:
        """Whose token it is, None where it is no valid one for this audience; raises IdentitiesUnknown."""
        name = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        until, identity = self._known.get(name, (0.0, None))
        now = self._clock()
        if now < until:
            return identity
        identity = await self._identities.of(token)
        self._known[name] = (now + (REMEMBERED if identity else _REFUSED), identity)
        self._known.move_to_end(name)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return identity


def of_username(username: str) -> Identity | None:
    """The ServiceAccount that a Kubernetes user name stands for, None where it is another user's."""
    parts = username.split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        return None
    return Identity(parts[2], parts[3])
