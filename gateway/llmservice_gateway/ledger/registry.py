"""What is known of keys, prices and Budgets: from the database what ever was, from the cluster what is now."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from llmservice_api.names import PROBE_KEY_ID
from llmservice_gateway.ledger import records
from llmservice_gateway.ledger.pricing import Price
from llmservice_gateway.ledger.records import Budget, Key, Priced
from llmservice_gateway.source import Event, Gone, Kind, Listed, Raw, identity

KINDS: Final[tuple[Kind, ...]] = ("llmservices", "apikeys", "budgets")
_NO_APIKEYS: Final = ("", PROBE_KEY_ID)
"""Key ids of requests to Open services, and of the operator's."""


class Registry:
    """Follows the cluster. `clock` gives ms since 1970; what changed and is not in the database yet waits in `unsaved`.

    A key or service that is deleted stays known: its last events come after it.
    """

    def __init__(self, clock: Callable[[], int], keys: Iterable[Key] = (), prices: Iterable[Priced] = ()) -> None:
        self.budgets: dict[str, Budget] = {}
        self.unsaved: dict[tuple[str, ...], Key | Priced] = {}
        self._clock = clock
        self._keys = {key.id: key for key in keys}
        self._prices = {(each.namespace, each.service): each.price for each in prices}
        self._spenders: dict[tuple[str, str], set[str]] = {}
        self._listed: set[Kind] = set()
        for key in self._keys.values():
            self._enter(key)

    @property
    def complete(self) -> bool:
        """Whether each kind was listed since the start: before, a new key's budget or a new price may be unknown."""
        return self._listed >= set(KINDS)

    def take(self, event: Event) -> None:
        """Brings what is known up to the event."""
        objects = event.objects if isinstance(event, Listed) else [event.object]
        gone = isinstance(event, Gone)
        if event.kind == "budgets":
            self._take_budgets(objects, gone, whole=isinstance(event, Listed))
        elif event.kind == "apikeys":
            self._take_keys(objects, gone, whole=isinstance(event, Listed))
        elif not gone:
            self._take_prices(objects)
        if isinstance(event, Listed):
            self._listed.add(event.kind)

    def key(self, key_id: str, namespace: str) -> Key | None:
        """A key as it last was; None for one of another namespace, which no event may spend from."""
        key = self._keys.get(key_id)
        return key if key is not None and key.namespace == namespace else None

    def knows(self, key_id: str) -> bool:
        """Whether a key was ever seen, in whatever namespace; of those that no APIKey stands for, always."""
        return key_id in _NO_APIKEYS or key_id in self._keys

    def price(self, namespace: str, service: str) -> Price | None:
        """The last price of a service; None where it was never seen."""
        return self._prices.get((namespace, service))

    def cost_center(self, namespace: str, budget: str) -> str | None:
        """Whom a Budget's costs are charged to; None where it says nobody, or is not there."""
        found = self.budgets.get(f"{namespace}/{budget}")
        return found.cost_center if found is not None else None

    def spenders(self, place: tuple[str, str]) -> list[str]:
        """Ids of the keys that spend from a budget."""
        return sorted(each for each in self._spenders.get(place, ()) if self._keys[each].gone is None)

    def _take_budgets(self, objects: Iterable[Raw], gone: bool, whole: bool) -> None:
        if whole:
            self.budgets = {}
        for raw in objects:
            budget = None if gone else records.budget(raw)
            if budget is None:
                self.budgets.pop(identity(raw), None)
            else:
                self.budgets[identity(raw)] = budget

    def _take_keys(self, objects: Iterable[Raw], gone: bool, whole: bool) -> None:
        names = set()
        held = set()
        for raw in objects:
            names.add(identity(raw))
            for key in [] if gone else records.keys(raw):
                held.add(key.id)
                self._put(key)
        for key in list(self._keys.values()):
            if key.gone is None and key.id not in held and (whole or f"{key.namespace}/{key.name}" in names):
                self._put(replace(key, gone=self._clock()))

    def _take_prices(self, objects: Iterable[Raw]) -> None:
        for raw in objects:
            found = records.priced(raw)
            if found is not None and self._prices.get((found.namespace, found.service)) != found.price:
                self._prices[found.namespace, found.service] = found.price
                self.unsaved["price", found.namespace, found.service] = found

    def _put(self, key: Key) -> None:
        before = self._keys.get(key.id)
        if before == key:
            return
        if before is not None and before.budget is not None:
            self._spenders[before.namespace, before.budget].discard(before.id)
        self._keys[key.id] = key
        self._enter(key)
        self.unsaved["key", key.id] = key

    def _enter(self, key: Key) -> None:
        if key.budget is not None:
            self._spenders.setdefault((key.namespace, key.budget), set()).add(key.id)
