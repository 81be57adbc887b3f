"""What is decided of a Budget: how much of it is used, whom it blocks, what its status says. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from llmservice_api.pricing import cost_text
from llmservice_gateway.ledger.entries import Spent
from llmservice_gateway.ledger.records import Budget
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.ledger.windows import WINDOWS, end, start

NEARLY: Final = 80
FULL: Final = 100
REWRITE_MS: Final = 60_000
"""A Budget's status is written at most once in this time."""


@dataclass(frozen=True)
class Used:
    """What a Budget's keys used in its window at an instant; `cost` in units."""

    budget: Budget
    start: int
    until: int
    tokens: int
    cost: int

    @property
    def percent(self) -> int:
        """Of what may be used, rounded down; of tokens and cost the larger, 0 where nothing is bounded."""
        pairs = ((self.tokens, self.budget.tokens), (self.cost, self.budget.cost))
        return max((FULL * used // bound if bound else FULL for used, bound in pairs if bound is not None), default=0)

    @property
    def spent(self) -> bool:
        """Whether the keys are blocked."""
        return self.percent >= FULL


@dataclass(frozen=True)
class Block:
    """Why and until when (ms since 1970) a key is refused."""

    until: int
    budget: str


@dataclass
class Spending:
    """What budgets used, in the windows that are open or to come."""

    _spent: dict[tuple[Any, ...], Spent] = field(default_factory=dict)

    def replace(self, spent: Iterable[Spent]) -> None:
        """Forgets everything, and takes what the database holds."""
        self._spent = {each.place: each for each in spent}

    def add(self, spent: Iterable[Spent]) -> None:
        """Adds what was just stored."""
        for each in spent:
            before = self._spent.get(each.place, Spent(*each.place))
            self._spent[each.place] = Spent(*each.place, before.tokens + each.tokens, before.cost + each.cost)

    def forget(self, now: int) -> None:
        """Drops windows that have ended."""
        self._spent = {place: each for place, each in self._spent.items() if each.start >= start(each.window, now)}

    def used(self, budget: Budget, now: int) -> Used:
        """What the Budget's keys used in the window that holds `now`."""
        began = start(budget.window, now)
        nothing = Spent(*budget.place, budget.window, began)
        spent = self._spent.get(nothing.place, nothing)
        return Used(budget, began, end(budget.window, now), spent.tokens, spent.cost)


def window_starts(now: int) -> dict[str, int]:
    """When the windows that hold `now` began, by kind."""
    return {window: start(window, now) for window in WINDOWS}


def blocks(registry: Registry, spending: Spending, now: int) -> dict[str, Block]:
    """The keys that are refused, by id."""
    used = (spending.used(budget, now) for budget in registry.budgets.values())
    return {
        key_id: Block(each.until, each.budget.name)
        for each in used
        if each.spent
        for key_id in registry.spenders(each.budget.place)
    }


def status(used: Used, now: int) -> dict[str, Any]:
    """What the Budget's status should say."""
    words = f"{used.percent} % of the Budget is used"
    spent = ("True", "Exhausted", f"{words}: its keys are refused") if used.spent else ("False", "WithinBudget", words)
    said = {"Ready": ("True", "Counted", "The ledger counts what the keys use"), "Spent": spent}
    return {
        "observedGeneration": used.budget.generation,
        "windowStart": _instant(used.start),
        "used": {"tokens": used.tokens, "cost": cost_text(used.cost)},
        "percent": used.percent,
        "conditions": [_condition(used.budget, kind, *what, now) for kind, what in said.items()],
    }


def differs(budget: Budget, wanted: Mapping[str, Any]) -> bool:
    """Whether the status must be written: the percent, the window, the spec or a condition's status changed."""
    coarse = ("observedGeneration", "windowStart", "percent")
    if any(budget.status.get(name) != wanted[name] for name in coarse):
        return True
    return any(_held(budget, each["type"]).get("status") != each["status"] for each in wanted["conditions"])


def crossed(used: Used) -> list[int]:
    """The thresholds that were reached and that status, in this window, does not speak of yet."""
    status = used.budget.status
    same = status.get("windowStart") == _instant(used.start)
    before = status.get("percent") if same else 0
    told = before if isinstance(before, int) else 0
    return [each for each in (NEARLY, FULL) if told < each <= used.percent]


def _condition(budget: Budget, kind: str, truth: str, reason: str, message: str, now: int) -> dict[str, Any]:
    held = _held(budget, kind)
    same = held.get("status") == truth and isinstance(held.get("lastTransitionTime"), str)
    return {
        "type": kind,
        "status": truth,
        "reason": reason,
        "message": message,
        "observedGeneration": budget.generation,
        "lastTransitionTime": held["lastTransitionTime"] if same else _instant(now),
    }


def _held(budget: Budget, kind: str) -> Mapping[str, Any]:
    conditions = budget.status.get("conditions")
    found = [
        each
        for each in (conditions if isinstance(conditions, list) else [])
        if isinstance(each, Mapping) and each.get("type") == kind
    ]
    return found[0] if found else {}


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
