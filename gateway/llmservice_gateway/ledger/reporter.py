"""Says in the cluster what Budgets used: their status now and then, an Event where a threshold is reached."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from llmservice_api.names import API_VERSION, content_hash
from llmservice_gateway.ledger.budgets import FULL, NEARLY, REWRITE_MS, Used, crossed, differs, status
from llmservice_gateway.ledger.cluster import MANAGER, ClusterFailed
from llmservice_gateway.ledger.ledger import Ledger
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.records import Budget

_LOG: Final = logging.getLogger(__name__)
_REASONS: Final[Mapping[int, tuple[str, str]]] = {
    NEARLY: ("BudgetNearlySpent", "Normal"),
    FULL: ("BudgetSpent", "Warning"),
}


class Writer(Protocol):
    """Where it is said."""

    async def write_status(self, budget: Budget, status: Mapping[str, Any]) -> None:
        """Applies a status; raises ClusterFailed."""

    async def write_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Creates an Event, unless it is there; raises ClusterFailed."""


class Reporter:
    """Looks at every Budget each time `report` is called; `every` is the seconds between those calls."""

    def __init__(self, ledger: Ledger, writer: Writer, metrics: Metrics, every: float = 1.0) -> None:
        self._ledger = ledger
        self._writer = writer
        self._metrics = metrics
        self._every = every
        self._written: dict[tuple[str, ...], int] = {}
        self._told: set[str] = set()

    async def run(self) -> None:
        """Reports for ever, once the ledger knows every Budget and what it used."""
        while True:
            self._ledger.refresh()
            if self._ledger.ready:
                await self.report()
            await asyncio.sleep(self._every)

    async def report(self) -> None:
        """Writes what has changed; what fails is tried again at the next call."""
        now = self._ledger.clock()
        budgets = list(self._ledger.registry.budgets.values())
        self._written = {place: at for place, at in self._written.items() if 0 <= now - at < REWRITE_MS}
        told: set[str] = set()
        for budget in budgets:
            used = self._ledger.spending.used(budget, now)
            try:
                await self._tell(used, now, told)
                await self._write(used, now)
            except ClusterFailed as error:
                self._metrics.failures.labels("status").inc()
                _LOG.warning("Budget %s/%s: %s; trying again", *budget.place, error)
        self._told = told

    async def _tell(self, used: Used, now: int, told: set[str]) -> None:
        for threshold in crossed(used):
            happened = event(used, threshold, now)
            name = str(happened["metadata"]["name"])
            if name not in self._told:
                await self._writer.write_event(used.budget.namespace, happened)
            told.add(name)

    async def _write(self, used: Used, now: int) -> None:
        wanted = status(used, now)
        place = (*used.budget.place, used.budget.uid)
        if place not in self._written and differs(used.budget, wanted):
            await self._writer.write_status(used.budget, wanted)
            self._written[place] = now


def event(used: Used, threshold: int, now: int) -> dict[str, Any]:
    """The Event of a threshold. Its name is made of what it speaks of, so that one told twice is there once."""
    budget = used.budget
    reason, kind = _REASONS[threshold]
    of = [budget.uid, reason, used.start, budget.tokens, budget.cost]
    refused = ": its keys are refused" if threshold == FULL else ""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{budget.name[:200]}.{content_hash(of, 16)}", "namespace": budget.namespace},
        "eventTime": datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": MANAGER,
        "reportingInstance": MANAGER,
        "action": "Counted",
        "reason": reason,
        "type": kind,
        "note": f"{used.percent} % of the Budget is used{refused}",
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "Budget",
            "namespace": budget.namespace,
            "name": budget.name,
            "uid": budget.uid,
        },
    }
