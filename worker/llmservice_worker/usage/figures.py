"""What Prometheus is told of usage: counted at the engine, lost, and not yet in the ledger."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from llmservice_worker.metrics import FewNames
from llmservice_worker.usage.event import UsageEvent
from llmservice_worker.usage.spool import Standing


class UsageFigures:
    """In `registry`; `clock` is the spool's, in seconds."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._models = FewNames()
        self._standing = Standing(0, None)
        self._events = Counter("llmservice_usage_events", "Usage events made.", registry=registry)
        self._lost = Counter(
            "llmservice_usage_lost",
            "Usage events that never reach the ledger: no room, a broken disk, or refused by it.",
            registry=registry,
        )
        self._unsent = Counter(
            "llmservice_usage_unsent",
            "Events and tokens that replicas left on disk at their end, for the next one in the pod.",
            ["what"],
            registry=registry,
        )
        for what in ("events", "tokens"):
            self._unsent.labels(what)
        self._tokens = Counter(
            "llmservice_usage_tokens",
            "Tokens of the events made; cached ones are part of the prompts'.",
            ["kind", "model"],
            registry=registry,
        )
        size = Gauge("llmservice_usage_spool_bytes", "Events on disk that are not yet sent.", registry=registry)
        size.set_function(lambda: self._standing.size)
        oldest = Gauge("llmservice_usage_oldest_seconds", "How long the oldest of them has waited.", registry=registry)
        oldest.set_function(self._oldest)

    def made(self, event: UsageEvent) -> None:
        """Count an event."""
        self._events.inc()
        model = self._models.label(event.model)
        kinds = {"prompt": event.prompt_tokens, "cached": event.cached_tokens, "completion": event.completion_tokens}
        for kind, tokens in kinds.items():
            self._tokens.labels(kind, model).inc(tokens)

    def lost(self, count: int) -> None:
        """Count events that are gone."""
        self._lost.inc(count)

    def unsent(self, events: int, tokens: int) -> None:
        """Count what a replica that ends could not send."""
        self._unsent.labels("events").inc(events)
        self._unsent.labels("tokens").inc(tokens)

    def stands(self, standing: Standing) -> None:
        """What the spool holds now."""
        self._standing = standing

    def _oldest(self) -> float:
        since = self._standing.since
        return 0.0 if since is None else max(self._clock() - since, 0.0)
