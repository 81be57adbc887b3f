"""The agent's own figures, beside those of HAProxy's exporter."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """One registry per agent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.routes = Gauge(
            "llmservice_gateway_routes", "LLMServices that HAProxy routes to.", ["ready"], registry=self.registry
        )
        self.keys = Gauge("llmservice_gateway_keys", "API keys that HAProxy knows.", registry=self.registry)
        self.synced = Gauge(
            "llmservice_gateway_last_sync_timestamp_seconds",
            "When HAProxy's maps last agreed with the cluster.",
            registry=self.registry,
        )
        self.ledger_synced = Gauge(
            "llmservice_gateway_last_ledger_sync_timestamp_seconds",
            "When the ledger last said what keys have used; 0 without a ledger.",
            registry=self.registry,
        )
        self.changes = Counter(
            "llmservice_gateway_map_changes", "Entries changed in HAProxy's maps.", ["map"], registry=self.registry
        )
        self.failures = Counter(
            "llmservice_gateway_failures", "What failed and is tried again.", ["what"], registry=self.registry
        )
        self.held = Gauge(
            "llmservice_gateway_held_requests", "Requests that wait for a model to come up.", registry=self.registry
        )
        self.held_total = Counter(
            "llmservice_gateway_held",
            "Requests that had to wait, by outcome: answered, expired, full, left (the client), refused.",
            ["outcome"],
            registry=self.registry,
        )
        self.slow_path = Counter(
            "llmservice_gateway_slow_path",
            "Requests that the agent forwards in HAProxy's place, by reason: json, form, chunked, cold.",
            ["why"],
            registry=self.registry,
        )
        self.refused = Counter(
            "llmservice_gateway_refused",
            "Requests that the gateway answered with an error of its own, by tenant, model and reason.",
            ["namespace", "service", "reason"],
            registry=self.registry,
        )
        self.spans = Counter(
            "llmservice_gateway_spans",
            "Spans by result: sent, failed, dropped, malformed.",
            ["result"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)
