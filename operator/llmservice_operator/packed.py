"""Objects as the API server sends them, kept small: the dicts of a fleet are ten times as large as their packed JSON.

Those that changed last stay as they came, since a reconcile follows each change.
"""

import json
import zlib
from collections import OrderedDict
from typing import Any, Final, Generic, TypeVar

Json = dict[str, Any]
K = TypeVar("K")

_RECENT: Final = 1000
"""Objects that stay whole: some 12 KB each."""
_QUICK: Final = 1
"""zlib's level: the next ones gain a tenth and take twice as long."""


class Packed(Generic[K]):
    """Objects by key; what is got must not be changed."""

    def __init__(self, recent: int = _RECENT) -> None:
        self._most = recent
        self._packed: dict[K, bytes] = {}
        self._recent: OrderedDict[K, Json] = OrderedDict()

    def put(self, key: K, obj: Json) -> None:
        """Keep an object in place of what was there."""
        self._packed[key] = zlib.compress(json.dumps(obj, separators=(",", ":")).encode(), _QUICK)
        self._stays(key, obj)

    def get(self, key: K) -> Json:
        """What was put. Raises KeyError."""
        found = self._recent.get(key)
        if found is None:
            found = self.glance(key)
        self._stays(key, found)
        return found

    def glance(self, key: K) -> Json:
        """The same of one among all, none of which is likely to be wanted soon. Raises KeyError."""
        found = self._recent.get(key)
        return found if found is not None else dict(json.loads(zlib.decompress(self._packed[key])))

    def drop(self, key: K) -> None:
        """It is kept no longer. Raises KeyError."""
        del self._packed[key]
        self._recent.pop(key, None)

    def _stays(self, key: K, obj: Json) -> None:
        self._recent[key] = obj
        self._recent.move_to_end(key)
        if len(self._recent) > self._most:
            self._recent.popitem(last=False)
