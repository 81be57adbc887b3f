"""An event with what it costs and who pays, and the sums that a batch of them adds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmservice_gateway.ledger.event import Event, Refused
from llmservice_gateway.ledger.pricing import FREE, Cost, cost, decimal
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.windows import MINUTE, WINDOWS, Window, bounded, start

Row = dict[str, Any]
MOST_COST: Final = 10**15
"""Units of one event: 100,000 of the currency. The sums of a whole post, and of 9,000 such events, fit 64 bits."""

SETTLED_MS: Final = 5 * MINUTE
"""After so long, what the cluster has not told of a key or a service will not come."""


class Unsettled(Exception):
    """An event whose key or service the cluster has not told of yet: sent again, it may find a Budget and a price."""


@dataclass(frozen=True)
class Entry:
    """What is stored of an event. `at` is when it counts, `received` when it came (ms since 1970).

    `budget` is that of its key, where that is one of the event's own namespace; `cost_center` is the Budget's.
    `priced`: the registry knows its service, be it at no cost; `attributed`: it knows its key.
    """

    event: Event
    at: int
    received: int
    cost: Cost
    budget: str | None
    cost_center: str | None
    priced: bool
    attributed: bool

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.event.prompt_tokens + self.event.completion_tokens

    @property
    def minute(self) -> int:
        """Minutes since 1970."""
        return self.at // MINUTE


@dataclass(frozen=True)
class Spent:
    """What the keys of one budget used in one window."""

    namespace: str
    budget: str
    window: Window
    start: int
    tokens: int = 0
    cost: int = 0

    @property
    def place(self) -> tuple[str, str, Window, int]:
        """All but what was used."""
        return self.namespace, self.budget, self.window, self.start


def entry(event: Event, registry: Registry, received: int, oldest: int) -> Entry:
    """The event at the price and with the budget that hold now; `oldest` is the first instant that is kept."""
    price = registry.price(event.namespace, event.service)
    key = registry.key(event.key_id, event.namespace)
    budget = key.budget if key is not None else None
    return Entry(
        event,
        bounded(event.at, received, oldest),
        received,
        cost(price or FREE, event.prompt_tokens, event.cached_tokens, event.completion_tokens),
        budget,
        registry.cost_center(event.namespace, budget) if budget is not None else None,
        price is not None,
        registry.knows(event.key_id),
    )


def affordable(entries: Sequence[Entry]) -> None:
    """Raises Refused at the first event that costs more than any can: sums with it would not fit the database."""
    for index, each in enumerate(entries):
        if each.cost.total > MOST_COST:
            raise Refused(
                f"events[{index}]: at the service's price its tokens cost more than {decimal(MOST_COST):f}",
                f"events[{index}]",
            )


def settled(entries: Sequence[Entry]) -> None:
    """Raises Unsettled where a key or a service is unknown that the gateway may just have heard of before the ledger.

    An event from far ahead is taken as it is: it would else be sent again until its time has come.
    """
    for index, each in enumerate(entries):
        unknown = "" if each.attributed else "key_id"
        unknown = unknown if each.priced else "service"
        if unknown and abs(each.received - each.event.at) < SETTLED_MS:
            raise Unsettled(f"events[{index}].{unknown} is not known here yet")


def event_row(entry: Entry) -> Row:
    """The row of `events`."""
    fields = entry.event.model_dump()
    paid = {"budget": entry.budget, "cost_center": entry.cost_center, "cost": entry.cost.total}
    return fields | {"time": entry.at, "received": entry.received} | paid


def usage_rows(entries: Iterable[Entry]) -> list[Row]:
    """What the events add to `usage`, one row a place; in one order, so that no two writers wait for each other."""
    rows: dict[tuple[Any, ...], Row] = {}
    for each in entries:
        event = each.event
        place = {"minute": each.minute, "namespace": event.namespace, "key_id": event.key_id}
        place |= {"model": event.model, "route": event.route}
        add = {
            "requests": 1,
            "prompt_tokens": event.prompt_tokens,
            "cached_tokens": event.cached_tokens,
            "completion_tokens": event.completion_tokens,
            "prompt_cost": each.cost.prompt,
            "cached_cost": each.cost.cached,
            "completion_cost": each.cost.completion,
        }
        row = rows.setdefault(tuple(place.values()), place | dict.fromkeys(add, 0))
        for name, amount in add.items():
            row[name] += amount
    return [rows[place] for place in sorted(rows)]


def spendings(entries: Iterable[Entry]) -> list[Spent]:
    """What the events spend in every kind of window, so that a Budget whose window is changed knows what was used."""
    found: dict[tuple[str, str, Window, int], Spent] = {}
    for each in entries:
        if each.budget is not None:
            for window in WINDOWS:
                empty = Spent(each.event.namespace, each.budget, window, start(window, each.at))
                before = found.get(empty.place, empty)
                found[empty.place] = Spent(*empty.place, before.tokens + each.tokens, before.cost + each.cost.total)
    return [found[place] for place in sorted(found)]
