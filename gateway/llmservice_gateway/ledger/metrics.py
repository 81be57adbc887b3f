"""The ledger's own figures."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from llmservice_gateway.ledger.entries import Entry

_OTHER: Final = "other"
"""What a label says of services that the cluster does not know: senders can make any number of names."""


class Metrics:
    """One registry per ledger."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "llmservice_ledger_events",
            "Usage events by result: stored, known (stored before), refused (malformed, or of another namespace).",
            ["result"],
            registry=self.registry,
        )
        self.commit = Histogram(
            "llmservice_ledger_commit_seconds",
            "How long storing the events of a post took, until they were on disk.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.failures = Counter(
            "llmservice_ledger_failures",
            "What failed and is tried again: database, kubernetes, token_review, status.",
            ["what"],
            registry=self.registry,
        )
        self.blocked = Gauge("llmservice_ledger_keys_blocked", "Keys whose Budget is spent.", registry=self.registry)
        self.tokens = Counter(
            "llmservice_ledger_tokens",
            "Tokens of the events that were stored; kind: prompt (cached ones too), cached, completion.",
            ["namespace", "service", "kind"],
            registry=self.registry,
        )
        self.unpriced = Counter(
            "llmservice_ledger_unpriced_events",
            "Events of services that the ledger never saw in the cluster, stored at no cost.",
            ["namespace"],
            registry=self.registry,
        )
        self.unattributed = Counter(
            "llmservice_ledger_unattributed_events",
            "Events of keys that the ledger never saw in the cluster, stored without a Budget.",
            ["namespace"],
            registry=self.registry,
        )
        for what in ("database", "kubernetes", "token_review", "status"):
            self.failures.labels(what)
        for result in ("stored", "known", "refused"):
            self.events.labels(result)

    def stored(self, entries: Iterable[Entry]) -> None:
        """Counts events that were stored, and their tokens."""
        for each in entries:
            place = (each.event.namespace, each.event.service if each.priced else _OTHER)
            if not each.priced:
                self.unpriced.labels(each.event.namespace).inc()
            if not each.attributed:
                self.unattributed.labels(each.event.namespace).inc()
            self.tokens.labels(*place, "prompt").inc(each.event.prompt_tokens)
            self.tokens.labels(*place, "cached").inc(each.event.cached_tokens)
            self.tokens.labels(*place, "completion").inc(each.event.completion_tokens)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)
